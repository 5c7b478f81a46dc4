"""Reads lines {"schema": NAME, "name": ..., "document": ...} and prints what of them does not fit its schema.

Each document is also bent, key by key: a schema that takes a document with a key too many or too few in it, where it
lists all of them, would say nothing.
"""

import copy
import json
import sys

import jsonschema

schemas = {}


def validator(name):
    if name not in schemas:
        with open(f"{sys.argv[1]}/{name}.json", encoding="utf-8") as file:
            schema = json.load(file)
        jsonschema.Draft202012Validator.check_schema(schema)
        schemas[name] = jsonschema.Draft202012Validator(schema)
    return schemas[name]


for line in sys.stdin:
    case = json.loads(line)
    fits = validator(case["schema"])
    for error in fits.iter_errors(case["document"]):
        print(f"{case['name']}: {case['schema']}.json: {error.json_path}: {error.message}")
    if case["schema"] == "network-status":
        continue  # podman's document: other keys are allowed there
    first = case["document"]
    if isinstance(first, list):
        first = first[0] if first else None
    if not isinstance(first, dict):
        continue
    optional = ("path_bytes", "target_bytes", "stored", "xattrs")
    bent = [("one more", {**first, "surplus": 1})]
    bent += [(f"no {key}", {k: v for k, v in first.items() if k != key}) for key in first if key not in optional]
    for how, broken in bent:
        document = copy.deepcopy(case["document"])
        document = [broken] + document[1:] if isinstance(document, list) else broken
        if fits.is_valid(document):
            print(f"{case['name']}: {case['schema']}.json takes it with {how}")
