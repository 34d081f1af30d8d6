# SPDX-License-Identifier: Apache-2.0
"""What Python makes of configurations: the reference that the client's reader is compared with.

Reads one JSON object a line, writes one a line:
  {"yaml": TEXT}      the value that PyYAML's safe_load gives
  {"json": TEXT}      the value that json.loads gives
  {"variable": TEXT}  the text that LMCache takes a variable of that value to hold
  {"load": TEXT}      the options that LMCache's HyperPod adapter takes from a YAML file
A value that cannot be read is {"error": KIND}.
"""

import ast
import datetime
import io
import json
import sys

import yaml

FAILURES = (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, IndexError,
            OverflowError, RecursionError)


def attempt(function, *arguments):
    try:
        return str(function(*arguments))
    except FAILURES:
        return None


def described(value, depth=0):
    """A value in the terms of the client's ConfigValue."""
    kinds = {type(None): "none", bool: "boolean", int: "integer", float: "decimal", str: "text",
             bytes: "bytes", datetime.date: "timestamp", datetime.datetime: "timestamp",
             dict: "mapping"}
    kind = kinds.get(type(value), "sequence")
    result = {"kind": kind, "truth": bool(value)}
    if kind not in ("bytes", "mapping", "sequence"):
        result["text"] = str(value)
        result["int"] = attempt(lambda: float(int(value)))
        result["float"] = attempt(float, value)
    if kind == "mapping" and depth < 2:
        result["entries"] = {key: described(item, depth + 1) for key, item in value.items()
                             if isinstance(key, str)}
    return result


def variable(text):
    """LMCache strips a variable's text and evaluates what stands in quotes."""
    text = text.strip()
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "'\"":
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text[1:-1]
    return value if isinstance(value, str) else text


def positive(convert, value):
    number = convert(value)
    if number <= 0:
        raise ValueError("must be positive")
    return number


def load(text):
    """The adapter's conversions; a name's absence means its default, as null here."""
    document = yaml.safe_load(text) or {}
    url = document.get("remote_url")
    extra = document.get("extra_config")
    if not isinstance(extra, dict):
        try:
            extra = json.loads(extra) if extra else None
        except json.JSONDecodeError:
            extra = None
    if extra is not None:
        extra.get("save_chunk_meta")
    extra = extra or {}

    def get(name, convert):
        key = "sagemaker_hyperpod_" + name
        return convert(extra[key]) if key in extra else None

    whole = lambda value: float(positive(int, value))
    size = get("max_lease_size_mb", lambda value: None if value is None else positive(float, value))
    if size is not None:
        size = float(int(size * 1024 * 1024))
    segment = extra.get("sagemaker_hyperpod_shared_memory_name", "shared_memory")
    if segment and not isinstance(segment, str):
        raise TypeError("a segment's name is text")
    return {
        "remote_url": None if url is None else str(url) or None,
        "bucket": get("bucket", str),
        "shared_memory_name": segment or None,
        "max_concurrent_requests": get("max_concurrent_requests", whole),
        "timeout_ms": get("timeout_ms", whole),
        "lease_ttl_s": get("lease_ttl_s", lambda value: positive(float, value)),
        "max_lease_bytes": size,
        "use_https": get("use_https", bool),
        "save_chunk_meta": bool(extra.get("save_chunk_meta", True)
                                or str(document.get("use_layerwise", False)).strip().lower()
                                in ("true", "1")),
    }


def translated(text):
    """Text as open() hands it to PyYAML: any line end is a line feed."""
    return io.TextIOWrapper(io.BytesIO(text.encode()), encoding="utf-8").read()


def respond(request):
    (what, text), = request.items()
    try:
        if what == "yaml":
            return described(yaml.safe_load(translated(text)))
        if what == "json":
            return described(json.loads(text))
        if what == "variable":
            return {"text": variable(text)}
        return load(translated(text))
    except FAILURES as error:
        return {"error": type(error).__name__ + ": " + str(error)}


def main():
    for line in sys.stdin:
        print(json.dumps(respond(json.loads(line))))


if __name__ == "__main__":
    main()
