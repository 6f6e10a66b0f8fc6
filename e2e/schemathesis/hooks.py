"""What Schemathesis is told about Gatehouse: real values, who calls, and a bound on CPU.

GATEHOUSE_FUZZ holds JSON: pid, public, admin (URLs), adminToken, client (id, secret), accessToken,
and real values by the name of the parameter.
"""

import json
import os
import zlib
from base64 import b64encode
from pathlib import Path

import requests
import schemathesis

GIVEN = json.loads(os.environ["GATEHOUSE_FUZZ"])
TASKS = Path(f"/proc/{GIVEN['pid']}/task")
CPU_MS_MAX = 100
# An RSA key is found by trying: 2048 bits take as long as they take.
UNBOUNDED = {"createJsonWebKeySet", "rotateKeys"}
STARTED = {"ns": 0}
CALLS = {"count": 0}


def cpu_ns() -> int:
    """CPU time of all threads of the server so far, by the scheduler's own count."""
    total = 0
    for task in TASKS.iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass
    return total


def real(values, chance):
    """Some requests get values that exist, chosen by what was generated: a run can be repeated."""
    if not isinstance(values, dict):
        return values
    for name in values:
        known = GIVEN["values"].get(name)
        if known and zlib.crc32(f"{name}{values[name]!r}".encode()) % 100 < chance:
            values[name] = known[zlib.crc32(repr(values).encode()) % len(known)]
    return values


@schemathesis.hook
def map_query(context, query):
    return real(query, 50)


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    return real(path_parameters, 50)


@schemathesis.hook
def map_body(context, body):
    return real(body, 40)


@schemathesis.auth(refresh_interval=None)
class Caller:
    """Whoever the operation is for; one in eight requests comes from nobody."""

    def get(self, case, context):
        path = case.operation.path
        if path.startswith(("/admin", "/metrics")):
            return f"Bearer {GIVEN['adminToken']}"
        if path == "/userinfo":
            return f"Bearer {GIVEN['accessToken']}"
        if path in ("/oauth2/token", "/oauth2/introspect", "/oauth2/revoke"):
            pair = f"{GIVEN['client']['id']}:{GIVEN['client']['secret']}"
            return f"Basic {b64encode(pair.encode()).decode()}"
        return None

    def set(self, case, data, context):
        CALLS["count"] += 1
        chance = CALLS["count"]
        if data is None or chance % 8 == 0:
            return
        case.headers = case.headers or {}
        case.headers["Authorization"] = data
        # Two ways at once are refused before anything else is looked at.
        if data.startswith("Basic") and isinstance(case.body, dict) and chance % 4 != 1:
            case.body.pop("client_id", None)
            case.body.pop("client_secret", None)


@schemathesis.hook
def before_call(context, case, kwargs):
    STARTED["ns"] = cpu_ns()


@schemathesis.check
def cpu_is_bounded(context, response, case):
    """No answer costs more than 100 ms of CPU. What else the process did meanwhile is told apart
    by asking again: the cheapest of four counts."""
    spent = (cpu_ns() - STARTED["ns"]) / 1e6
    if spent <= CPU_MS_MAX or case.operation.definition.raw.get("operationId") in UNBOUNDED:
        return
    with requests.Session() as session:
        for _ in range(3):
            before = cpu_ns()
            session.send(response.request, timeout=20, allow_redirects=False)
            spent = min(spent, (cpu_ns() - before) / 1e6)
    if spent > CPU_MS_MAX:
        raise AssertionError(f"{spent:.0f} ms of CPU for {response.status_code}")
