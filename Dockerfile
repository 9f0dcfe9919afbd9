# docker build -t meshproof .        docker run --rm -v "$PWD:/work" meshproof verify .
FROM rust:1.95-slim-trixie AS build
RUN apt-get update && apt-get install -y --no-install-recommends libz3-dev pkg-config make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make build

FROM debian:trixie-slim
RUN apt-get update && apt-get install -y --no-install-recommends libz3-4 && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/meshproof /usr/local/bin/meshproof
COPY --from=build /src/ci/gate.sh /usr/local/bin/meshproof-gate
WORKDIR /work
ENTRYPOINT ["meshproof"]
