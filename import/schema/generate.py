#!/usr/bin/env python3
"""Writes the field lists of this folder from published API types. See README.md."""
import argparse, pathlib, re, textwrap

HERE = pathlib.Path(__file__).parent

# Fields that are newer than the published types, read in istio/api (2026-07) by name: kind -> [(path, line)].
ADDED = {
    "VirtualService": [],
    "DestinationRule": [
        (("spec", "trafficPolicy", "loadBalancer"), "zoneAwareLbSetting any"),
        (("spec", "trafficPolicy", "outlierDetection"), "outlierDetectionHttpErrorCodes [any]"),
    ],
    "ServiceEntry": [],
}


# ---- kopium structs (Istio, Gateway API)

def rust_types(text):
    types = {}
    for m in re.finditer(r"pub (struct|enum) (\w+) \{\n(.*?)\n\}", text, re.S):
        kind, name, body = m.groups()
        items, rename = [], None
        for line in body.split("\n"):
            line = line.strip()
            r = re.search(r'rename = "([^"]+)"', line)
            if line.startswith("#["):
                rename = r.group(1) if r else rename
                continue
            f = re.match(r"pub (r#)?(\w+): (.*),$", line)
            v = re.match(r"(\w+),$", line)
            if kind == "struct" and f:
                items.append((rename or f.group(2), f.group(3)))
                rename = None
            elif kind == "enum" and v:
                items.append((rename or v.group(1), None))
                rename = None
        types[name] = (kind, items)
    return types


RUST = {"String": "string", "bool": "bool", "i64": "int", "i32": "int", "u32": "int", "f64": "number", "f32": "number",
        "IntOrString": "intstr", "serde_json::Value": "any", "Condition": "any"}


def rust_lines(types, name, depth, out):
    for field, ty in sorted(types[name][1]):
        required = "!"
        if m := re.fullmatch(r"Option<(.*)>", ty):
            ty, required = m.group(1), ""
        lead, tail = "", ""
        while True:
            if m := re.fullmatch(r"Vec<(.*)>", ty):
                lead, tail, ty = lead + "[", "]" + tail, m.group(1)
            elif m := re.fullmatch(r"BTreeMap<String, (.*)>", ty):
                lead, tail, ty = lead + "{", "}" + tail, m.group(1)
            else:
                break
        ty = ty.split("::")[-1] if ty.split("::")[-1] in types else ty
        kind, items = types.get(ty, (None, None))
        if kind == "enum":
            leaf = "|".join(n for n, _ in items)
            leaf = leaf or "any"
        elif kind == "struct":
            leaf = ""
            if not items:
                leaf = "any"
        else:
            leaf = RUST.get(ty, "any")
        shape = f"{lead}{leaf}{tail}"
        out.append("  " * depth + (f"{field}{required} {shape}".rstrip()))
        if kind == "struct" and items:
            rust_lines(types, ty, depth + 1, out)


def from_rust(kind, file, out, source):
    types = rust_types(file.read_text())
    lines = [f"# {kind}", f"# {source}", kind, "  apiVersion! string", "  kind! string", "  metadata! @ObjectMeta", "  spec"]
    rust_lines(types, f"{kind}Spec", 2, lines)
    lines.append("  status any")
    for path, line in ADDED.get(kind, []):
        add(lines, path, line)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("\n".join(lines) + "\n")


def add(lines, path, line):
    """Inserts `line` under every place whose path ends with `path` (a subset's and a port's policies too)."""
    stack, i = [], 0
    while i < len(lines):
        if not lines[i].startswith("#"):
            depth = (len(lines[i]) - len(lines[i].lstrip())) // 2
            stack[depth:] = [lines[i].split()[0].rstrip("!")]
            if stack[-1] == path[-1] and path[1] in stack and not any(
                l.strip().split()[0] == line.split()[0] for l in children(lines, i, depth)
            ):
                lines.insert(i + 1, "  " * (depth + 1) + line)
        i += 1


def children(lines, i, depth):
    for l in lines[i + 1:]:
        d = (len(l) - len(l.lstrip())) // 2
        if d <= depth:
            return
        if d == depth + 1:
            yield l


# ---- Kubernetes' Python client (pydantic models)

SHARED = {"V1ObjectMeta": "ObjectMeta", "V1LabelSelector": "LabelSelector", "V1PodTemplateSpec": "PodTemplate", "V1PodSpec": "PodSpec",
          "V1Container": "Container", "V1EphemeralContainer": "Container", "V1Probe": "Probe", "V1LifecycleHandler": "LifecycleHandler",
          "V1Volume": "Volume", "V1Affinity": "Affinity", "V1SecurityContext": "SecurityContext",
          "V1PersistentVolumeClaimSpec": "PersistentVolumeClaimSpec", "V1JobSpec": "JobSpec"}
PY = {"StrictStr": "string", "StrictBool": "bool", "StrictInt": "int", "datetime": "string", "StrictFloat": "number",
      "StrictInt | StrictStr": "intstr", "StrictStr | StrictInt": "intstr"}


class Models:
    def __init__(self, folder):
        self.folder = folder

    def fields(self, model):
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", model).lower()
        name = re.sub(r"^v(\d)_", r"v\1_", name)
        file = next(f for f in self.folder.glob("*.py") if f.stem.replace("_", "") == model.lower())
        text = file.read_text()
        body = text[re.search(r"^class " + model, text, re.M).start():]
        for m in re.finditer(r"^    (\w+): (.*)$", body, re.M):
            field, rest = m.groups()
            if "ClassVar" in rest:
                continue
            ty = re.split(r" = ", rest)[0]
            alias = re.search(r'serialization_alias="(\w+)"', rest)
            yield (alias.group(1) if alias else field), ty

    def lines(self, model, depth, out):
        for field, ty in sorted(self.fields(model)):
            required = "!"
            if m := re.fullmatch(r"Optional\[(.*)\]", ty):
                ty, required = m.group(1), ""
            lead, tail = "", ""
            while True:
                if m := re.fullmatch(r"List\[(.*)\]", ty):
                    lead, tail, ty = lead + "[", "]" + tail, m.group(1)
                elif m := re.fullmatch(r"Dict\[str, (.*)\]", ty):
                    lead, tail, ty = lead + "{", "}" + tail, m.group(1)
                else:
                    break
            leaf, child = PY.get(ty), None
            if field in ("status",) and depth == 1:
                leaf = "any"
            elif ty in SHARED:
                leaf = "@" + SHARED[ty]
            elif leaf is None and re.fullmatch(r"(Core)?V\d\w+", ty):
                child, leaf = ty, ""
            elif leaf is None:
                leaf = "any"
            if field in ("limits", "requests", "hard", "capacity", "overhead") or field in ("sizeLimit", "divisor", "averageValue"):
                leaf = leaf.replace("string", "quantity")
            out.append("  " * depth + f"{field}{required} {lead}{leaf}{tail}".rstrip())
            if child:
                self.lines(child, depth + 1, out)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--istio", type=pathlib.Path, help="src/v1_27_0 of crate istio-api-rs")
    p.add_argument("--gateway-api", type=pathlib.Path, help="src/apis of crate gateway-api")
    p.add_argument("--kubernetes", type=pathlib.Path, help="kubernetes/client/models of the Python package kubernetes")
    a = p.parse_args()
    source = "Istio 1.27.0, CustomResourceDefinition (crate istio-api-rs 0.12.0, Apache-2.0)"
    for kind, file in {
        "VirtualService": "networking/v1/virtual_service", "DestinationRule": "networking/v1/destination_rule",
        "Gateway": "networking/v1/gateway", "ServiceEntry": "networking/v1/service_entry", "Sidecar": "networking/v1/sidecar",
        "WorkloadEntry": "networking/v1/workload_entry", "WorkloadGroup": "networking/v1/workload_group",
        "ProxyConfig": "networking/v1beta1/proxy_config", "EnvoyFilter": "networking/v1alpha3/envoy_filter",
        "PeerAuthentication": "security/v1/peer_authentication", "RequestAuthentication": "security/v1/request_authentication",
        "AuthorizationPolicy": "security/v1/authorization_policy", "Telemetry": "telemetry/v1/telemetry",
        "WasmPlugin": "extensions/v1alpha1/wasm_plugin",
    }.items():
        from_rust(kind, a.istio / f"{file}.rs", HERE / "istio" / (pathlib.Path(file).name + ".txt"), source)
    source = "Gateway API, CustomResourceDefinition (crate gateway-api 0.22.0, Apache-2.0)"
    for kind in ["Gateway", "GatewayClass", "HTTPRoute", "GRPCRoute", "ReferenceGrant", "TCPRoute", "TLSRoute", "UDPRoute",
                 "BackendTLSPolicy", "ListenerSet", "XBackendTrafficPolicy"]:
        name = kind.lower() + "s.rs"
        name = {"backendtlspolicys.rs": "backendtlspolicies.rs", "gatewayclasss.rs": "gatewayclasses.rs",
                "xbackendtrafficpolicys.rs": "xbackendtrafficpolicies.rs"}.get(name, name)
        file = next((f for d in ("experimental", "standard") if (f := a.gateway_api / d / name).exists()), None)
        if file is None:
            print("no", name)
            continue
        text = file.read_text()
        spec = re.search(r"pub struct (\w+Spec) \{", text).group(1)
        types = rust_types(text)
        for shared in file.parent.glob("*.rs"):
            for k, v in rust_types(shared.read_text()).items():
                types.setdefault(k, v)
        # The crate names these types after their resource.
        lines = [f"# {kind}", f"# {source}", kind, "  apiVersion! string", "  kind! string", "  metadata! @ObjectMeta", "  spec"]
        rust_lines(types, spec, 2, lines)
        lines.append("  status any")
        out = HERE / "gateway_api" / (re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower() + ".txt")
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(lines) + "\n")
    source = "Kubernetes 1.37, OpenAPI (Python package kubernetes 37.0.2, Apache-2.0)"
    models = Models(a.kubernetes)
    shared = ["# Types that several kinds share", f"# {source}"]
    done = set()
    for model, name in SHARED.items():
        if name in done or model == "V1Container":
            continue
        done.add(name)
        shared.append(name)
        models.lines(model, 1, shared)
    folder = HERE / "kubernetes"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shared.txt").write_text("\n".join(shared) + "\n")
    for kind, model in {
        "Service": "V1Service", "Deployment": "V1Deployment", "StatefulSet": "V1StatefulSet", "DaemonSet": "V1DaemonSet",
        "ReplicaSet": "V1ReplicaSet", "Job": "V1Job", "CronJob": "V1CronJob", "Pod": "V1Pod", "ServiceAccount": "V1ServiceAccount",
        "Namespace": "V1Namespace", "ConfigMap": "V1ConfigMap", "HorizontalPodAutoscaler": "V2HorizontalPodAutoscaler",
        "PodDisruptionBudget": "V1PodDisruptionBudget", "NetworkPolicy": "V1NetworkPolicy", "Ingress": "V1Ingress",
        "EndpointSlice": "V1EndpointSlice", "Endpoints": "V1Endpoints", "ReplicationController": "V1ReplicationController",
    }.items():
        lines = [f"# {kind}", f"# {source}", kind]
        models.lines(model, 1, lines)
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


main()
