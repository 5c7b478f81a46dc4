"""Reads lines {"schema": NAME, "name": ..., "document": ...} and prints documents that do not conform to their schema.

Also mutates each document, by adding a key and by removing each key: a schema that accepts such a document is too weak.
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
    if case["schema"] in ("network-status", "pod-dump"):
        continue  # These are documents of container engines, which may have other keys.
    first = case["document"]
    if isinstance(first, list):
        first = first[0] if first else None
    if not isinstance(first, dict):
        continue
    optional = ("path_bytes", "target_bytes", "stored", "xattrs")
    mutants = [("an unknown key", {**first, "surplus": 1})]
    mutants += [
        (f"no {key}", {k: v for k, v in first.items() if k != key}) for key in first if key not in optional
    ]
    for how, broken in mutants:
        document = copy.deepcopy(case["document"])
        document = [broken] + document[1:] if isinstance(document, list) else broken
        if fits.is_valid(document):
            print(f"{case['name']}: {case['schema']}.json accepts the document with {how}")
