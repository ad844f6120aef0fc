import json, sys, ray
from ray.util import get_placement_group, placement_group, remove_placement_group

def find(name):
    try:
        return get_placement_group(name)
    except ValueError:
        return None

def create(name, count, bundle, label_selector):
    more = {"bundle_label_selector": [label_selector] * count} if label_selector else {}
    try:
        placement_group([bundle] * count, strategy="STRICT_SPREAD", name=name, lifetime="detached", **more)
    except Exception:
        if not find(name):
            raise
        return "found"
    return "created"

todo, did = json.loads(sys.argv[1]), {}
ray.init(namespace="terraform.ray-iac", log_to_driver=False)
for group in todo["create"]:
    did[group["name"]] = "found" if find(group["name"]) else create(**group)
for name in todo["remove"]:
    group = find(name)
    if group:
        remove_placement_group(group)
    did[name] = "removed" if group else "gone"
print(json.dumps(did))
