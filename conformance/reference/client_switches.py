# SPDX-License-Identifier: Apache-2.0
"""What the reference client can be told to do otherwise: see switches.py."""

from switches import Switch


def _break(of, name, ids, what, why, level="must"):
    return Switch("break", name, of, what, why, tuple(ids.split()), level)


def _vary(group, of, name, what, why, may_warn=""):
    return Switch("vary", name, of, what, why, tuple(may_warn.split()), "", group)


THROTTLE = "section 6: at most max_concurrent_requests in flight"
CONNECTIONS = "section 6: at most max_connections and max_connections_per_host"
DEADLINE = "section 6: a call ends with its deadline"
RELEASED = "section 6: all leases are released, on errors too"
REFUSED = "section 6: invalid or oversized leases are released before being refused"
EXPIRY = "section 4: a copy that ends after expiry is a miss"
SEGMENT = "section 2: clients only read the segment, and map it again when it is another"
NAMES = "section 3: percent-encoded once, as aiohttp does"

DEFECTS = [
    # Throttling and connections.
    _break("state", "one-request-too-many", "C-THROTTLE-01", "One request more than allowed is in flight.", THROTTLE),
    _break("state", "releases-not-counted", "C-THROTTLE-01", "Releases do not count as requests in flight.", THROTTLE),
    _break("state", "limit-of-each-operation", "C-THROTTLE-01", "Leases, releases and puts have a limit each.", THROTTLE),
    _break("state", "limit-grows-with-failures", "C-THROTTLE-01 C-CONN-03", "Each failed request gives its place back twice.", THROTTLE),
    _break("state", "place-lost-with-a-failure", "C-TIME-06 C-BREAKER-03 C-BATCH-01", "Each failed request keeps its place for good.", "section 6: waiting requests get their turn"),
    _break("state", "default-limit-of-200", "C-THROTTLE-04", "The default limit is 200.", "the user's page: 100"),
    _break("state", "backlog-limited", "C-THROTTLE-03", "The 51st request that would wait fails.", "section 6: requests wait for their turn"),
    _break("state", "one-connection-too-many", "C-CONN-01 C-CONN-02 C-WORKERS-02", "One connection more than allowed is open.", CONNECTIONS),
    _break("state", "limit-per-host-ignored", "C-CONN-02 C-WORKERS-02", "Only max_connections counts.", CONNECTIONS),
    _break("state", "limit-of-connections-ignored", "C-CONN-01", "Only max_connections_per_host counts.", CONNECTIONS),
    _break("state", "broken-connections-not-counted", "C-CONN-03 C-CONN-04", "A connection that failed stays open and is not counted.", CONNECTIONS),
    _break("time", "connection-for-each-request", "C-CONN-05", "Each request has a connection of its own.", "section 6: keep-alive"),
    _break("time", "connection-for-each-put", "C-CONN-05", "Each put has a connection of its own.", "section 6: keep-alive"),
    _break("time", "idle-connections-stay", "C-CONN-06", "Idle connections stay open.", "section 6: idle connections live 30 s"),
    # Deadlines.
    _break("time", "no-deadline-for-leases", "C-TIME-01 C-TIME-05 C-TIME-09", "A lease request is waited for without end.", DEADLINE),
    _break("time", "no-deadline-for-puts", "C-TIME-01 C-TIME-04", "A put is waited for without end.", DEADLINE),
    _break("time", "no-deadline-for-releases", "C-TIME-01", "A release is waited for without end.", DEADLINE),
    _break("time", "deadline-anew-with-each-byte", "C-TIME-03", "A deadline begins anew with each byte.", DEADLINE),
    _break("wire", "late-response-taken-for-the-next", "C-TIME-02", "A connection whose response was given up is used again.", "RFC 9112: responses come in order"),
    _break("time", "queueing-not-counted", "C-TIME-07", "The deadline begins when a request's turn has come.", DEADLINE, "should"),
    # Leases.
    _break("state", "lease-kept-after-a-hit", "C-LEASE-01", "A lease is not released when its bytes were read.", RELEASED),
    _break("state", "lease-kept-by-exists", "C-LEASE-01", "A lease that exists took is not released.", RELEASED),
    _break("state", "lease-kept-after-a-failed-copy", "C-LEASE-01 C-LEASE-04", "A lease whose copy failed is not released.", RELEASED),
    _break("state", "lease-kept-without-offsets", "C-LEASE-04 C-LEASE-06", "A grant without usable offsets is not released.", REFUSED),
    _break("state", "lease-kept-when-too-large", "C-LEASE-05", "A lease larger than max_lease_size_mb is not released.", REFUSED),
    _break("state", "lease-kept-when-out-of-bounds", "C-LEASE-04", "A lease beyond the segment is not released.", REFUSED),
    _break("state", "second-of-a-batch-kept", "C-LEASE-01 C-BATCH-01", "In a batch the second lease is not released.", RELEASED),
    _break("wire", "released-twice", "C-LEASE-02", "Each lease is released twice.", "section 6: a lease is released"),
    _break("wire", "released-by-delete", "C-LEASE-03 C-LEASE-01", "Leases are released by DELETE under the key.", "section 5: it is not part of the protocol"),
    _break("wire", "last-lease-released-again", "C-LEASE-02 C-LEASE-01", "A release names the lease that was released before it.", "failure of LMCache 3770: a release goes to another id"),
    _break("time", "released-before-the-copy", "C-LEASE-01 C-TTL-02", "A lease is released before its bytes are copied.", "section 4: a pin lives until release"),
    _break("state", "size-limit-ignored", "C-LEASE-05", "max_lease_size_mb is ignored.", REFUSED),
    _break("wire", "text-taken-for-a-lease", "C-LEASE-06", "A lease response of any content type is read.", "section 4: clients ignore other content types"),
    _break("wire", "offsets-missing-taken-for-a-hit", "C-LEASE-06 C-LEASE-04", "A grant without offsets is a hit of no bytes.", "section 4: at least one fragment"),
    _break("wire", "404-is-an-error", "C-LEASE-08", "A miss by 404 is reported as an error.", "section 4: 404 is a miss as well"),
    _break("wire", "504-is-an-error", "C-LEASE-08", "A miss by 504 is reported as an error.", "section 4: a miss is normal"),
    _break("wire", "out-of-bounds-cut", "C-LEASE-04 C-SHM-07", "A fragment beyond the segment is read as far as it goes, and zeros stand for the rest.", REFUSED),
    # TTL.
    _break("time", "expiry-ignored", "C-TTL-01 C-TTL-02 C-TTL-03", "Nobody looks whether the lease has expired.", EXPIRY),
    _break("time", "expiry-looked-at-before-the-copy", "C-TTL-03", "Expiry is looked at before the copy only.", EXPIRY),
    _break("time", "expiry-counted-from-the-copy", "C-TTL-01 C-TTL-02", "The TTL counts from the beginning of the copy.", "section 4: the client's clock starts before it sends"),
    _break("state", "restart-not-noticed-after-the-copy", "C-TTL-04", "The segment's identity is not looked at after the lease.", SEGMENT),
    _break("wire", "ttl-of-10s", "C-TTL-05", "Without lease_ttl_s 10 s are asked for.", "the user's page: 30.0"),
    _break("wire", "ttl-in-milliseconds", "C-TTL-05 C-WIRE-03", "ttl_s is given in milliseconds.", "section 4: seconds"),
    # The segment.
    _break("state", "mapped-for-writing", "C-SHM-01", "The segment is mapped for writing.", SEGMENT),
    _break("state", "first-fragment-read-on", "C-SHM-02", "The bytes behind the first fragment are taken for the rest.", "section 2: an object lies in one or more fragments"),
    _break("state", "fragments-sorted", "C-SHM-02", "Fragments are read in the order of their offsets.", "section 2: fragments in order"),
    _break("state", "mapped-once", "C-SHM-03 C-SHM-04", "The segment is mapped once and for all.", SEGMENT),
    _break("state", "missing-segment-given-up", "C-SHM-04 C-SHM-05", "A segment that could not be mapped once is never tried again.", "section 6: it is opened anew"),
    _break("state", "unlinked-at-the-end", "C-SHM-08", "The segment is unlinked when the client closes.", "section 2: clients must not unlink"),
    _break("state", "unlinked-at-exit", "C-SHM-08", "The segment is unlinked when the process ends.", "section 2: clients must not unlink"),
    # Recovery.
    _break("state", "misses-open-the-breaker", "C-BREAKER-01", "Three misses in a row keep the client from the daemon for 5 s.", "section 6: any HTTP response closes it"),
    _break("state", "conflicts-open-the-breaker", "C-BREAKER-01", "Three conflicts in a row keep the client from the daemon for 5 s.", "section 6: any HTTP response closes it"),
    _break("time", "breaker-never-closes", "C-BREAKER-03", "After three failures the daemon is never asked again.", "section 6: one probe each 5 s"),
    _break("time", "breaker-closes-after-a-minute", "C-BREAKER-03", "After three failures the daemon is not asked for a minute.", "section 6: one probe each 5 s"),
    _break("wire", "201-is-stored", "C-BREAKER-04", "A put answered 201 or 204 is stored.", "section 3: 201 is a failure"),
    _break("wire", "503-is-stored", "C-BREAKER-04", "A put that is answered at all is stored.", "section 3: any other status is a failure"),
    _break("wire", "lost-put-is-stored", "C-BREAKER-04 C-TIME-01", "A put without a response is stored.", "section 3: any other status is a failure"),
    _break("wire", "failed-put-sent-again", "C-BREAKER-05", "A put answered 500 or more is sent again.", "section 3: the client does not retry by itself"),
    # The wire.
    _break("wire", "key-encoded-twice", "C-WIRE-01 C-WIRE-02", "Keys are encoded twice.", NAMES),
    _break("wire", "slashes-bare", "C-WIRE-01 C-WIRE-02", "Slashes in keys are bare.", NAMES),
    _break("wire", "plus-bare", "C-WIRE-02", "A plus in a key is bare.", NAMES),
    _break("wire", "space-as-plus", "C-WIRE-01 C-WIRE-02", "A space in a key is a plus.", NAMES),
    _break("wire", "percent-bare", "C-WIRE-01", "A percent sign that begins an escape stays as it is.", NAMES),
    _break("wire", "hex-in-lower-case", "C-WIRE-02", "Escapes are in lower case.", NAMES),
    _break("wire", "key-as-latin-1", "C-WIRE-01", "Keys are encoded as Latin-1 where they can be.", NAMES),
    _break("wire", "body-chunked", "C-WIRE-04", "A put's body is chunked.", "section 3: Content-Length is sent"),
    _break("wire", "expect-sent", "C-WIRE-04", "A put expects 100 Continue.", "section 3: no Expect"),
    _break("wire", "no-content-type", "C-WIRE-04", "A put has no Content-Type.", "section 3: application/octet-stream"),
    _break("wire", "lease-without-length", "C-WIRE-03", "A lease request has no Content-Length.", "section 4: Content-Length: 0"),
    _break("wire", "timeout-with-a-point", "C-WIRE-03", "timeout_ms is 5000.0.", "section 4: an integer"),
    _break("wire", "other-user-agent", "C-WIRE-05", "User-Agent is python/3.", "section 6"),
    _break("wire", "header-big-endian", "C-WIRE-06", "The chunk's header is big-endian.", "section 7: little-endian"),
    _break("wire", "header-length-of-the-object", "C-WIRE-06", "The header's length counts the header too.", "section 7: the payload's bytes"),
    _break("wire", "header-always", "C-WIRE-07", "The header stands there with save_chunk_meta false, too.", "section 7: the bytes alone"),
    _break("wire", "body-in-one-piece", "C-WIRE-08", "A body is sent in one piece.", "the user's page: put_stream_chunk_bytes"),
    _break("wire", "bucket-ignored", "C-WIRE-09", "All objects go to the bucket lmcache.", "the user's page: sagemaker_hyperpod_bucket"),
    _break("wire", "timeout-below-100-taken", "C-WIRE-10", "A timeout_ms below 100 is sent as it is.", "section 6: raised to 100"),
    # Batches.
    _break("state", "batch-spoiled-by-one", "C-BATCH-01 C-BATCH-02", "One failure fails a batch.", "failure of LMCache 2204"),
    _break("state", "batch-shifted-by-a-miss", "C-BATCH-01", "Results behind a miss move up by one.", "docs/drivers.md: in order"),
    _break("state", "batch-ends-at-a-miss", "C-BATCH-01", "What stands behind a miss is a miss.", "section 4: a miss is normal"),
    _break("state", "prefix-counted-beyond-a-miss", "C-BATCH-03", "All hits count, behind a miss too.", "docs/drivers.md: from the first on"),
    _break("state", "prefix-without-its-last", "C-BATCH-03", "The last key of a prefix that is whole is not counted.", "docs/drivers.md: how many are there"),
    _break("state", "lookups-lock-each-other-out", "C-THROTTLE-03 C-BATCH-03", "A lookup of several keys keeps its places until it has them all.", "failure of LMCache 5047: a load never finishes"),
]  # fmt: skip

VARIATIONS = [
    _vary("pool", "state", "one-connection", "One connection is used for everything.", "at most"),
    _vary("pool", "state", "connections-opened-at-once", "All connections are opened when the client is made.", "at most"),
    _vary("pool", "time", "idle-connections-closed-early", "A connection is closed when it was idle for 5 s.", "section 6: at most 30 s", "C-CONN-05"),
    _vary("gate", "state", "one-request-at-a-time", "One request is in flight at any moment.", "at most", "C-WORKERS-03"),
    _vary("gate", "state", "gate-for-puts", "Puts have a limit of their own, as the in-process client's have.", "section 6: two gates", "C-THROTTLE-01"),
    _vary("gate", "time", "first-come-first-served", "Puts and leases wait in one line, as in the multi-process client.", "section 6: the order is conn's", "C-THROTTLE-02"),
    _vary("deadline", "time", "no-margin", "A lease request is given up after timeout_ms, as conn does.", "section 6: conn's", "C-TIME-08"),
    _vary("breaker", "time", "no-breaker", "A dead daemon is asked each time, as conn does.", "section 6: mp's", "C-BREAKER-02"),
    _vary("breaker", "time", "breaker-of-5s", "A probe is sent each 5 s, as mp does.", "section 6"),
    _vary("ids", "wire", "ids-not-encoded", "Ids stand in paths as they are, as conn does.", "section 4: conn does not", "C-LEASE-07"),
    _vary("outcome", "wire", "errors-told-as-misses", "Errors are told as misses.", "docs/drivers.md: a client that hides errors"),
    _vary("outcome", "wire", "conflicts-told-as-stored", "409 is told as stored.", "docs/drivers.md: a client that does not tell the two apart"),
    _vary("outcome", "wire", "late-copies-told-as-errors", "An expired copy is told as an error.", "docs/drivers.md: a miss or an error"),
    _vary("release", "time", "released-in-the-background", "A lease is released behind the caller's back.", "section 6: all are released"),
    _vary("release", "time", "released-a-little-later", "A lease is released 200 ms after the copy.", "section 6: all are released"),
    _vary("encoding", "wire", "everything-encoded", "All but letters, digits and -._~ is percent-encoded in keys.", "section 3: %40 and @ mean the same"),
    _vary("ttl", "wire", "ttl-without-a-point", "Whole seconds are sent as 30.", "section 4: 30 and 30.0"),
    _vary("query", "wire", "query-in-other-order", "ttl_s stands before timeout_ms.", "section 4: a query"),
    _vary("headers", "wire", "headers-in-lower-case", "Header names are in lower case, in another order.", "RFC 9110 section 5.1"),
    _vary("headers", "wire", "few-headers", "Accept and Accept-Encoding are left out.", "RFC 9110: both are optional"),
    _vary("body", "wire", "body-with-its-head", "A put's head goes out with the first piece of its body.", "section 3: in the same segment as the head"),
    _vary("body", "wire", "small-pieces", "A body is sent in pieces of 1,024 bytes.", "the user's page: at most"),
    _vary("mapping", "state", "mapped-for-each-read", "The segment is mapped for each read, and unmapped behind it.", "section 2: clients only read it"),
    _vary("mapping", "state", "read-without-a-mapping", "The segment is read with pread.", "section 2: clients only read it"),
    _vary("making", "state", "refuses-without-a-segment", "The client is not made while there is no segment, as mp does.", "docs/drivers.md: answered ok false", "C-SHM-04 C-SHM-05 C-SHM-06"),
    _vary("lookup", "time", "lookups-one-by-one", "A batch is done one key after the other.", "nothing says otherwise"),
    _vary("lookup", "wire", "all-keys-looked-up", "A prefix is counted by asking for all keys at once.", "nothing says otherwise"),
    _vary("offers", "wire", "stats-not-offered", "There is no stats operation.", "docs/drivers.md: unsupported"),
    _vary("offers", "wire", "batches-not-offered", "There are no batches.", "docs/drivers.md: unsupported"),
    _vary("offers", "wire", "no-parameters", "No parameter is honoured except the bucket.", "docs/drivers.md: those that it names"),
    _vary("header", "wire", "never-a-header", "The object is the payload alone, as in the multi-process client.", "section 7: mp writes none"),
    _vary("header", "wire", "a-header-whatever-is-said", "The header is always written, as conn does.", "section 7: conn always does"),
]  # fmt: skip

SWITCHES = {switch.name: switch for switch in VARIATIONS + DEFECTS}
