"""The work of `topologies/chain4` in SimPy, to be compared with `cargo run --release -p meshproof-sim --example chain4`.

    pip install simpy && python3 sim/benches/chain4_simpy.py [SECONDS]

Four services in a row, three replicas each, 256 places; exponential handlers of 1 ms; 0.8 ms each way (0.2 ms of link
and 0.3 ms in each proxy); the less loaded of two random replicas; a timer of 1 s for each try; one retry; 1 % of errors.
There are no proxies in it: no routes, no pools, no breakers, no headers. Prints processor time per client request.
"""

import random
import resource
import sys
import time

import simpy

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
RATE = 10_000.0
WAY = 0.0008
random.seed(4)


class Replica:
    def __init__(self, env):
        self.active = 0
        self.places = simpy.Resource(env, capacity=256)


def call(env, chain, hop, figures):
    """One request to the service of this hop, with its retry; gives whether it went well."""
    began = env.now
    for attempt in range(2):
        a, b = random.choice(chain[hop]), random.choice(chain[hop])
        replica = b if b.active < a.active else a
        replica.active += 1
        tried = env.process(serve(env, chain, hop, replica, figures))
        limit = env.timeout(1.0)
        done = yield tried | limit
        replica.active -= 1
        if tried in done and tried.value:
            figures[hop].append(env.now - began)
            return True
        if attempt == 0:
            yield env.timeout(random.uniform(0.0, 0.025))
    figures[hop].append(env.now - began)
    return False


def serve(env, chain, hop, replica, figures):
    yield env.timeout(WAY)
    with replica.places.request() as place:
        yield place
        yield env.timeout(random.expovariate(1000.0))
        well = random.random() >= 0.01
        if well and hop + 1 < len(chain):
            well = yield from call(env, chain, hop + 1, figures)
    yield env.timeout(WAY)
    return well


def clients(env, chain, figures):
    count = 0
    while env.now < SECONDS:
        yield env.timeout(random.expovariate(RATE))
        env.process(call(env, chain, 0, figures))
        count += 1
    figures.append(count)


env = simpy.Environment()
chain = [[Replica(env) for _ in range(3)] for _ in range(4)]
figures = [[] for _ in chain]
before = time.process_time()
env.process(clients(env, chain, figures))
env.run()
spent = time.process_time() - before
requests = figures[4]
figures[0].sort()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(f"{requests} requests, mean {1000 * sum(figures[0]) / requests:.3f} ms, p99 {1000 * figures[0][int(requests * 0.99)]:.2f} ms")
print(f"{spent:.2f} s of processor time, {1e6 * spent / requests:.1f} us per request, {peak} MB")
