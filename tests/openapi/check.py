"""The OpenAPI document from outside, on the demo of the real binary: it is OpenAPI 3.1, and whatever schemathesis makes
of it, good and bad, is answered as it says. The same requests each time: nothing here is drawn at random."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import openapi_spec_validator

HERE = pathlib.Path(__file__).parent
COLLECTIONS = ["shopOrder"]


def start(binary, data):
    """The demo's process and its address, once its collections can be queried."""
    command = [binary, "demo", "--listen", "127.0.0.1:0", "--data", data]
    demo = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    words = next(line for line in demo.stdout if line.startswith("starting on ")).split()
    url = f"http://{words[2].rstrip(';')}"
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(f"{url}/readyz")
            return demo, url
        except urllib.error.HTTPError:
            time.sleep(0.1)
    raise SystemExit("the demo was not ready within 60 s")


def main(binary):
    with tempfile.TemporaryDirectory(prefix="wellspring-openapi-") as data:
        demo, url = start(binary, data)
        try:
            token = subprocess.run(
                [binary, "token", "--data", data, "--subject", "openapi", "--role", "admin"],
                check=True, capture_output=True, text=True,
            ).stdout.strip()
            who = {"Authorization": f"Bearer {token}"}
            ask = urllib.request.Request(f"{url}/openapi.json", headers=who)
            whole = json.load(urllib.request.urlopen(ask))
            openapi_spec_validator.validate(whole, cls=openapi_spec_validator.OpenAPIV31SpecValidator)
            if not all(f"/data/{name}" in whole["paths"] for name in COLLECTIONS):
                raise SystemExit(f"the document lacks collections: {list(whole['paths'])}")
            run = [
                str(pathlib.Path(sys.executable).with_name("schemathesis")),
                "--config-file", str(HERE / "schemathesis.toml"),
                "run", f"{url}/openapi.json?collections={','.join(COLLECTIONS)}", "--url", url,
                "--header", f"Authorization: {who['Authorization']}",
            ]
            where = {**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")}
            return subprocess.run(run, cwd=data, env=where, check=False).returncode
        finally:
            demo.terminate()
            demo.wait()


if __name__ == "__main__":
    sys.exit(main(str(pathlib.Path(sys.argv[1]).resolve())))
