# SPDX-License-Identifier: Apache-2.0
"""The exchange of docs/drivers.md, for drivers in Python.

A driver is a subclass of Driver with a coroutine for each operation that its client offers, and
ends in run(). All coroutines run in one event loop, in a thread of its own, so that the client
goes on between two commands.
"""

import asyncio
import hashlib
import json
import sys
import threading

# A client whose close() does not return must not keep the driver from ending.
CLOSE_PATIENCE_S = 10


def payload(seed, size):
    blocks = (hashlib.sha256(b"%d:%d" % (seed, i)).digest() for i in range((size + 31) // 32))
    return b"".join(blocks)[:size]


def stored():
    return {"outcome": "stored"}


def not_told():
    """Of a client that does not tell its callers what becomes of a put."""
    return {"outcome": "not_told"}


def exists():
    return {"outcome": "exists"}


def hit(data=None):
    if data is None:
        return {"outcome": "hit"}
    return {"outcome": "hit", "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def miss(detail=None):
    return {"outcome": "miss"} if detail is None else {"outcome": "miss", "detail": detail}


def error(detail):
    return {"outcome": "error", "detail": str(detail)}


def sentence(exception):
    return f"{type(exception).__name__}: {exception}"


def skip_without(client, missing):
    """Ends the driver as one whose client is not installed."""
    print(f"{client} is not installed: {missing}", file=sys.stderr)
    sys.exit(77)


class Driver:
    """Beside the two coroutines below a subclass may offer any of these coroutines:

    put(key, data), get(key, size), exists(key): an outcome, made by the functions above;
    batch_put(items), batch_get(items): a list of outcomes; the items are such pairs;
    batch_contains(keys): how many are there, from the first on;

    and stats(), which is none and returns a dict. What an operation raises is told as the outcome
    `error`; what configure() raises tells that no such client can be made. Its `parameters` are those
    given, of the ones named below and `bucket`.
    """

    client = "?"
    header = "never"
    parameters = ()

    async def configure(self, url, segment, parameters):
        raise NotImplementedError

    async def close(self):
        raise NotImplementedError


SINGLE = ("put", "get", "exists")
OFFERED = SINGLE + ("batch_put", "batch_get", "batch_contains", "stats")


class Malformed(Exception):
    """A command is not as docs/drivers.md says."""


def member(command, name, kind):
    if not isinstance(command, dict) or name not in command:
        raise Malformed(f'"{name}" is missing')
    value = command[name]
    if not isinstance(value, kind) or isinstance(value, bool) or kind is int and value < 0:
        raise Malformed(f'"{name}" must not be {json.dumps(value)}')
    return value


def arguments(op, command):
    """What the operation of one object is called with."""
    key = member(command, "key", str)
    if op == "exists":
        return (key,)
    size = member(command, "size", int)
    return (key, payload(member(command, "seed", int), size)) if op == "put" else (key, size)


async def outcome_of(operation):
    try:
        return await operation
    except Exception as e:  # pylint: disable=broad-except
        return error(sentence(e))


class Exchange:
    """Answers commands, one after the other."""

    def __init__(self, driver):
        self.driver = driver
        self.configured = False
        self.is_open = False
        self.offered = [name for name in OFFERED if hasattr(driver, name)]

    async def answer(self, line):
        answer = {"id": None, "ok": True}
        try:
            command = json.loads(line)
            answer["id"] = member(command, "id", (int, float))
            op = member(command, "op", str)
            if op in ("hello", "configure", "close", "concurrent"):
                answer.update(await getattr(self, op)(command))
            elif op in self.offered:
                answer.update(await self.operate(op, command))
            else:
                answer.update(ok=False, unsupported=True)
        except (ValueError, Malformed) as e:
            answer.update(ok=False, error=str(e))
        except Exception as e:  # pylint: disable=broad-except
            answer.update(ok=False, error=sentence(e))
        return answer

    async def hello(self, _):
        return {
            "client": self.driver.client,
            "operations": ["hello", "configure", "concurrent", "close", "raise"] + self.offered,
            "parameters": list(self.driver.parameters),
            "header": self.driver.header,
        }

    async def configure(self, command):
        url, segment = member(command, "url", str), member(command, "segment", (str, type(None)))
        await self.close()
        self.configured = False
        known = ("bucket",) + tuple(self.driver.parameters)
        given = {name: command[name] for name in known if name in command}
        try:
            await self.driver.configure(url, segment, given)
        except Exception as e:  # pylint: disable=broad-except
            return {"ok": False, "error": sentence(e)}
        self.configured = self.is_open = True
        return {}

    async def close(self, _=None):
        if self.is_open:
            self.is_open = False
            await self.driver.close()
        return {}

    async def operate(self, op, command):
        if not self.configured:
            raise Malformed('there is no client yet; send "configure" first')
        call = getattr(self.driver, op)
        if op in SINGLE:
            return await outcome_of(call(*arguments(op, command)))
        if op == "stats":
            return call()
        if op == "batch_contains":
            keys = member(command, "keys", list)
            try:
                return {"hits": await call(keys)}
            except Exception as e:  # pylint: disable=broad-except
                return {"hits": 0, "detail": sentence(e)}
        items = [arguments(op[len("batch_") :], item) for item in member(command, "items", list)]
        try:
            return {"results": await call(items)}
        except Exception as e:  # pylint: disable=broad-except
            return {"results": [error(sentence(e)) for _ in items]}

    async def concurrent(self, command):
        if not self.configured:
            raise Malformed('there is no client yet; send "configure" first')
        begin = []
        for one in member(command, "operations", list):
            op = member(one, "op", str)
            if op not in SINGLE or op not in self.offered:
                raise Malformed(f'"{op}" cannot be concurrent')
            begin.append((getattr(self.driver, op), arguments(op, one)))
        tasks = []
        for call, given in begin:
            tasks.append(asyncio.ensure_future(outcome_of(call(*given))))
            await asyncio.sleep(0)  # The task runs until it first waits: it has entered the client.
        return {"results": await asyncio.gather(*tasks)}


def asks_to_raise(line):
    try:
        return json.loads(line)["op"] == "raise"
    except (ValueError, KeyError, TypeError):
        return False


def run(driver):
    """Answers the commands on standard input until it ends."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    exchange = Exchange(driver)
    for line in sys.stdin.buffer:
        if asks_to_raise(line):
            raise RuntimeError("raised, as the command says")
        answer = asyncio.run_coroutine_threadsafe(exchange.answer(line), loop).result()
        print(json.dumps(answer), flush=True)
    asyncio.run_coroutine_threadsafe(exchange.close(), loop).result(CLOSE_PATIENCE_S)
