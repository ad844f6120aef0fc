"""Asks the Ray of this Python how it packages a directory.

One JSON object a line in, one out:

  {"op": "hash", "dir": D, "excludes": [...], "gitignore": true}
      -> {"uri": "gcs://_ray_pkg_....zip", "seconds": 0.1}
  {"op": "zip", ..., "out": FILE}
      -> {"seconds": 0.1, "entries": [[name, crc, size, mode, flags, attributes, system, method], ...]}
  {"op": "module", ..., "out": FILE}
      -> {"uri": ..., "entries": ...} of an entry of py_modules
  {"op": "file", "dir": FILE}
      -> {"uri": ...} of an archive or a wheel
  {"op": "match", "patterns": [...], "paths": [...]}
      -> {"matches": [true, ...]}

Whatever Ray raises comes back as {"error": "..."}. The seconds leave out the
start of Python, the import of Ray and the listing of the entries.
"""

import json
import logging
import sys
import time
import warnings
import zipfile
from pathlib import Path

from ray._private.runtime_env.packaging import (
    create_package,
    get_uri_for_directory,
    get_uri_for_package,
)
from ray._private.thirdparty.pathspec import PathSpec

logging.disable(logging.CRITICAL)
warnings.simplefilter("ignore")


def pack(request):
    out = Path(request["out"])
    out.unlink(missing_ok=True)
    start = time.perf_counter()
    create_package(
        request["dir"],
        out,
        include_gitignore=request["gitignore"],
        excludes=request["excludes"],
        include_parent_dir=request["op"] == "module",
    )
    out.read_bytes()  # as dashboard_sdk.py does before the PUT
    seconds = time.perf_counter() - start
    with zipfile.ZipFile(out) as z:
        entries = [
            [i.filename, i.CRC, i.file_size, i.external_attr >> 16, i.flag_bits,
             i.external_attr & 0xFFFF, i.create_system, i.compress_type]
            for i in z.infolist()
        ]
    return {"seconds": seconds, "entries": entries}


def answer(request):
    if request["op"] == "match":
        spec = PathSpec.from_lines("gitwildmatch", request["patterns"])
        return {"matches": [spec.match_file(p) for p in request["paths"]]}
    if request["op"] == "zip":
        return pack(request)
    if request["op"] == "file":
        return {"uri": get_uri_for_package(Path(request["dir"]))}
    if request["op"] == "module":
        uri = get_uri_for_directory(
            request["dir"], request["gitignore"], excludes=request["excludes"]
        )
        return {**pack(request), "uri": uri}
    start = time.perf_counter()
    uri = get_uri_for_directory(
        request["dir"], request["gitignore"], excludes=request["excludes"]
    )
    return {"uri": uri, "seconds": time.perf_counter() - start}


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as e:
        reply = {"error": f"{type(e).__name__}: {e}"}
    print(json.dumps(reply), flush=True)
