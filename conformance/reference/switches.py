# SPDX-License-Identifier: Apache-2.0
"""What the reference daemon can be told to do otherwise: legal variations and defects.

A variation (--vary) is something that docs/protocol.md allows: a suite that fails it is unfair. A
defect (--break) is something that the page forbids: a suite that does not notice it is blind. Each
says whether it is of state (what is kept), of the wire (what is said) or of time (when), and
names the requirements that speak of it: those that must fail for a defect, and those that may warn
for a variation that departs from a row marked I or A.
"""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Switch:
    kind: str  # "vary" or "break"
    name: str
    of: str  # "state", "wire" or "time"
    what: str  # One line: what the daemon does.
    why: str  # Of a defect the row that it breaks, of a variation why it is legal.
    ids: tuple  # Requirements, see above.
    level: str = "must"  # Of a defect: "must" if its row is marked O or C, "should" if I.
    group: str = ""  # Variations of one group exclude each other.
    needs: tuple = ()  # Switches that are turned on with this one.

    def as_json(self):
        return {**asdict(self), "ids": list(self.ids), "needs": list(self.needs)}


def _break(of, name, ids, what, why, level="must", needs=()):
    return Switch("break", name, of, what, why, tuple(ids.split()), level, "", tuple(needs))


def _vary(group, of, name, what, why, may_warn=""):
    return Switch("vary", name, of, what, why, tuple(may_warn.split()), "", group)


PINS = "section 4: a lease pins its object until release or expiry"
TTL = "section 4: the daemon may reuse the fragments only after ttl_s"
STORED = "section 3: 200 means stored; the bytes are the body's"
CONFLICT = "section 3: 409 means that the key exists; the stored bytes stay as they were"
HELD = "section 4: an absent key's request is held up to timeout_ms"
NAMES = "section 3: any UTF-8, decoded exactly once; different names are different objects"
RELEASE = "section 5: 200, and the pin ends at once"
GRANT = "section 4: 200, application/json, id and offsets"

DEFECTS = [
    # Pins.
    _break("time", "pin-ends-after-a-second", "PIN-01 PIN-02", "A pin ends a second after its grant, whatever the TTL; the release is still answered 200.", PINS),
    _break("time", "pin-ends-at-half-the-ttl", "PIN-01 PIN-02 TTL-01", "A pin ends when half its TTL has passed; the release is still answered 200.", PINS),
    _break("time", "pin-capped-at-5s", "PIN-01 TTL-01", "A pin ends 5 s after its grant; the release is answered 200 for the whole TTL.", TTL),
    _break("time", "ttl-capped-at-5s", "TTL-01 PIN-01", "A lease ends after 5 s however long it was asked for.", TTL),
    _break("state", "pin-ends-with-first-release", "REL-05 PIN-02", "The first release of a lease on an object ends all pins on it.", PINS),
    _break("state", "pin-ends-with-double-release", "REL-05 PIN-02", "A second release of one id is answered 404 and takes another lease's pin.", PINS),
    _break("state", "pin-ends-with-connection", "PIN-01 REL-06", "The pins of the leases granted over a connection end with it.", PINS + "; clients use a pool of connections"),
    _break("state", "pin-ends-at-409", "PUT-02 PIN-01", "A PUT that is answered 409 ends the pins on its object.", PINS),
    _break("state", "pin-ends-at-an-aborted-put", "PUT-09 PIN-01", "A PUT of a leased key that is cut short ends the pins on its object.", PINS),
    _break("state", "pin-ends-at-a-bad-lease-request", "LEASE-09 PIN-01", "A lease request that is answered 400 ends the pins on its object.", PINS),
    _break("state", "pin-missing-when-woken", "HOLD-04 PIN-01", "A request that was held and then granted has no pin.", PINS),
    _break("state", "pin-missing-on-second-lease", "LEASE-06 PIN-01 REL-05", "Only the first live lease on an object pins it.", PINS),
    _break("time", "pin-ends-with-the-shortest-lease", "TTL-04 PIN-01", "When one lease on an object expires, the pins of the others end.", PINS),
    _break("time", "later-lease-sets-the-expiry-of-all", "TTL-04 PIN-01", "An object has one expiry, that of the lease granted last.", PINS),
    _break("state", "pin-of-first-fragment-only", "PIN-01", "Only the first fragment of a leased object is safe; the others are reused.", PINS, needs=("scattered",)),
    _break("state", "pin-lost-beyond-64-leases", "LEASE-06 CONC-04 PIN-01", "With more than 64 live leases the oldest ones pin nothing.", PINS),
    _break("state", "release-ends-the-oldest-lease", "REL-05 TTL-04", "A release ends the oldest live lease on the object rather than the one it names.", "section 5: released is the lease that is named"),
    _break("time", "released-lease-expires-again", "REL-05 PIN-01", "The expiry of a lease already released takes another lease's pin.", PINS),
    _break("time", "woken-lease-ends-at-its-timeout", "HOLD-04 TTL-01 PIN-01", "The timer of a held request still runs when it was woken, and ends its lease.", TTL),
    _break("state", "lease-id-reused-after-release", "CONC-04 REL-02 PIN-01", "A new lease gets the id released last, so that a late second release ends somebody else's lease.", PINS + "; section 5: an already released id is 404"),
    _break("state", "aborted-put-removes-the-object", "PUT-09 PIN-01", "A PUT of a stored key that is cut short removes the object.", CONFLICT),
    _break("state", "release-keeps-the-pin", "REL-03", "A release is answered 200, and the pin stays until the TTL.", RELEASE),
    _break("time", "release-ends-the-pin-late", "REL-03", "The pin ends 2 s after the release was answered.", RELEASE),
    _break("state", "expired-lease-pins", "PIN-04", "A lease that has expired goes on pinning.", "section 4: after ttl_s the daemon may reuse the fragments; otherwise the cache fills for good", "should"),
    _break("state", "leased-objects-evicted-at-last", "PIN-01 PIN-02 PUT-12", "When nothing else is left, leased objects are evicted.", PINS),
    # TTL.
    _break("time", "ttl-fraction-dropped", "TTL-02 TTL-01", "Only the whole seconds of ttl_s count.", "section 4: a decimal number of seconds"),
    _break("wire", "ttl-without-point-refused", "LEASE-04 TTL-02", "ttl_s=30 is answered 400; only 30.0 is understood.", "section 4: a decimal of any form that Python writes"),
    _break("time", "ttl-exponent-ignored", "TTL-02 LEASE-04", "The exponent of ttl_s is ignored: 1e+16 is 1.", "section 4: a decimal of any form that Python writes", "should"),
    _break("time", "ttl-wraps-after-an-hour", "TTL-01", "A ttl_s of 3,600 or more is taken modulo 3,600 s.", TTL),
    _break("time", "ttl-starts-at-the-objects-first-lease", "TTL-01 TTL-04", "A lease ends when the object's first lease would have, had it the same TTL.", TTL),
    _break("wire", "parameters-required", "LEASE-08 LEASE-04", "A lease request without timeout_ms or ttl_s is answered 400.", "section 4: either parameter may be missing"),
    # Eviction and restarts.
    _break("state", "evicted-still-granted", "PIN-03 SHM-03", "An evicted key is still granted, with the place it had.", "section 2: the bytes at a lease's offsets are the object's"),
    _break("state", "evicted-answers-409", "PIN-03 PUT-02", "A PUT of an evicted key is answered 409, though there is no object.", CONFLICT),
    _break("state", "evicted-returns-at-its-old-place", "PIN-03 PUT-01", "A key stored anew after its eviction is granted with the place it had before.", STORED),
    _break("state", "stored-and-dropped-when-full", "PUT-01 PIN-03", "A PUT into a full cache is answered 200, and the object dropped.", STORED),
    _break("state", "full-cache-refuses", "PIN-03", "Nothing is ever evicted: a full cache answers 507.", "section 3: 507 only when leases pin the rest", "should"),
    _break("state", "evicted-blocks-freed-twice", "PIN-03 PUT-01 CONC-03", "The room of an evicted object is freed twice, so that two objects share it.", STORED),
    _break("state", "old-keys-after-restart", "RESTART-02", "Keys of before a restart are granted, their bytes being gone.", "section 2: a restart gives a new segment"),
    _break("state", "old-keys-answer-409-after-restart", "RESTART-02", "A PUT of a key of before the restart is answered 409, though there is no object.", CONFLICT),
    _break("state", "old-leases-after-restart", "RESTART-03", "The release of a lease of before a restart is answered 200.", "section 5: unknown ids are 404", "should"),
    _break("state", "old-segment-after-restart", "RESTART-01", "A restart keeps the segment's inode.", "section 2: another inode under the same name"),
    # Sizes.
    _break("state", "last-byte-lost-at-64k-multiples", "PUT-01 SHM-03", "Of a body whose size is a multiple of 64 KiB the last byte is not stored.", STORED),
    _break("state", "last-byte-lost-above-64k-multiples", "PUT-01 SHM-03", "Of a body one byte longer than a multiple of 64 KiB the last byte is not stored.", STORED),
    _break("state", "last-byte-lost-below-64k-multiples", "PUT-01 SHM-03", "Of a body one byte shorter than a multiple of 64 KiB the last byte is not stored.", STORED),
    _break("state", "last-byte-lost-at-powers-of-two", "PUT-01 SHM-03", "Of a body whose size is a power of two the last byte is not stored.", STORED),
    _break("state", "last-byte-lost-at-1mib-multiples", "PUT-01 SHM-03", "Of a body whose size is a multiple of 1 MiB the last byte is not stored.", STORED),
    _break("state", "bytes-lost-beyond-3mib", "PUT-01 SHM-03", "Bytes behind the first 3 MiB are zeros.", STORED + "; bodies are 8 to 80 MiB"),
    _break("state", "bytes-lost-beyond-16mib", "PUT-01 SHM-03", "Bytes behind the first 16 MiB are zeros.", STORED + "; bodies are 8 to 80 MiB"),
    _break("state", "bytes-lost-beyond-64mib", "PUT-01 SHM-03", "Bytes behind the first 64 MiB are zeros.", STORED + "; bodies are 8 to 80 MiB"),
    _break("wire", "put-over-1mib-refused", "PUT-01 PUT-05", "A body longer than 1 MiB is answered 413.", "section 3: 413 only beyond the capacity"),
    _break("wire", "fragments-beyond-64-untold", "LEASE-05 SHM-03", "A grant tells the first 64 fragments only.", GRANT, needs=("scattered",)),
    _break("wire", "fragments-ordered-by-offset-beyond-16", "SHM-03 PUT-01", "More than 16 fragments are told in the order of their offsets.", "section 2: fragments in order", needs=("scattered",)),
    _break("wire", "last-fragment-padded", "LEASE-05 SHM-03", "The last fragment's length is rounded up to 64 bytes.", GRANT),
    _break("wire", "short-objects-padded", "LEASE-05 SHM-03", "An object shorter than 16 bytes is told to have 16.", GRANT),
    _break("state", "longer-second-body-replaces", "PUT-02", "A second body that is longer is answered 409 and written over the first.", CONFLICT),
    _break("state", "shorter-second-body-replaces", "PUT-02", "A second body that is shorter is answered 409 and written over the first.", CONFLICT),
    _break("state", "equal-second-body-replaces", "PUT-02", "A second body of the same length is answered 409 and written over the first.", CONFLICT),
    _break("state", "second-body-while-leased-replaces", "PUT-02 PIN-01", "A second body is written over the first while that is leased.", CONFLICT),
    _break("time", "end-of-large-bodies-late", "SHM-04 PUT-01", "The second half of a body beyond 1 MiB is in the segment 300 ms after the 200.", "section 2: the bytes are there when the lease is granted"),
    _break("state", "body-with-its-head-lost", "PUT-03 PUT-01", "The bytes of a body that arrive with its head are zeros.", "section 3: the body may come in the same segment as the head"),
    _break("state", "many-pieces-lost", "PUT-03 PUT-01", "Of a body that comes in more than 16 separate pieces the rest is zeros.", "section 3: the body is streamed in pieces"),
    _break("time", "late-body-refused", "PUT-03", "A body that pauses for 2 s is answered 408.", "section 3: the body may come much later"),
    _break("state", "aborted-put-stored", "PUT-09", "A PUT cut short leaves what had arrived.", "section 3: a PUT cut short leaves nothing", "should"),
    _break("state", "aborted-put-blocks-its-key", "PUT-09 PUT-02", "After a PUT cut short its key answers 409, though there is no object.", CONFLICT),
    _break("state", "aborted-put-keeps-its-room", "PUT-15", "A PUT cut short keeps the room it had taken.", "section 3: a PUT cut short leaves nothing", "should"),
    _break("state", "object-visible-at-its-head", "PUT-09 SHM-03", "An object is granted while its body is still arriving.", "section 4: the bytes of a leased object do not change"),
    _break("state", "racing-puts-mixed", "PUT-10", "Two PUTs of one key at once write to the same place.", STORED),
    _break("state", "racing-puts-both-200", "PUT-10", "Two PUTs of one key at once are both answered 200; the second is dropped.", "section 3: one gets 200, the other 409", "should"),
    _break("state", "concurrent-bodies-crossed", "CONC-03", "PUTs at once share one buffer, so that pieces get into other objects.", STORED),
    # Waiting.
    _break("time", "hold-capped-at-1s", "HOLD-01", "A request is held for a second at most.", HELD),
    _break("time", "hold-capped-at-3s", "HOLD-01", "A request is held for 3 s at most.", HELD),
    _break("time", "no-hold-in-absent-bucket", "HOLD-01 BUCKET-01", "A request for a bucket that does not exist yet is answered 404 at once.", HELD),
    _break("time", "no-hold-while-put-under-way", "HOLD-01 PUT-09", "A request for a key whose PUT is under way is answered 504 at once.", HELD),
    _break("time", "hold-ends-at-an-aborted-put", "HOLD-01 PUT-09", "A PUT of the key that is cut short ends the hold with 504.", HELD),
    _break("time", "hold-ends-at-a-refused-put", "HOLD-01 PUT-11", "A PUT of the key that is refused ends the hold with 504.", HELD),
    _break("time", "hold-ends-at-any-put", "HOLD-01", "A PUT of another key in the bucket ends the hold with 504.", HELD),
    _break("state", "woken-by-another-bucket", "BUCKET-02 HOLD-04", "A held request is granted the object of the same key in another bucket.", "section 4: the lease is on the key asked for"),
    _break("state", "woken-with-the-newest-object", "HOLD-04 SHM-03", "A woken request is granted, 200 ms later, whatever object was stored last.", "section 4: the lease is on the key asked for"),
    _break("state", "woken-at-the-head-of-the-put", "HOLD-04 PUT-09 SHM-03", "A held request is granted when the head of its key's PUT arrives.", "section 3: visible only once the whole body has arrived"),
    _break("state", "second-wave-not-woken", "HOLD-04 HOLD-05", "After one request for a key was held and ended as a miss, later ones are never woken.", "section 4: granted at once when stored", "should"),
    _break("state", "one-waiter-woken", "HOLD-05", "Of several requests held for a key one is granted.", "section 4: granted at once when stored", "should"),
    _break("state", "woken-requests-share-a-lease", "HOLD-05 CONC-04", "All requests held for a key are granted the same lease.", "section 4: many leases; a release by one must not end another's pin"),
    _break("state", "awaited-key-answers-409", "HOLD-04 PUT-05", "A PUT of a key for which requests are held is answered 409.", "section 3: 200: stored"),
    _break("state", "awaited-key-forgotten", "PUT-01 HOLD-04", "A PUT that wakes requests is not found by later ones.", STORED),
    _break("time", "hold-ends-600ms-late", "HOLD-03", "A hold ends 600 ms after its timeout_ms.", "section 6: mp waits 500 ms longer than timeout_ms"),
    _break("time", "hold-ends-a-third-late", "HOLD-03", "A hold ends when 4/3 of timeout_ms have passed.", "section 6: mp waits 500 ms longer than timeout_ms"),
    _break("state", "held-requests-limited-to-100", "CONC-01 CONC-02 HOLD-01", "The 101st request that would be held is answered 504 at once.", HELD),
    _break("state", "abandoned-hold-leaves-a-lease", "HOLD-06", "A client that goes away while its request is held leaves a lease, once the key is stored.", "section 4: it leaves no lease behind", "should"),
    _break("state", "abandoned-hold-takes-the-grant", "HOLD-05 HOLD-06", "A request of a client that went away is woken in place of a living one.", "section 4: granted at once when stored", "should"),
    # Names.
    _break("state", "key-case-folded", "KEY-07", "Keys that differ in case only are one.", NAMES),
    _break("state", "key-double-slash-merged", "KEY-02 KEY-07", "Slashes in a row are one in a key.", NAMES),
    _break("state", "key-dot-segments-resolved", "KEY-02 KEY-07", "/./ and /../ in a key are resolved.", NAMES),
    _break("state", "key-trailing-slash-dropped", "KEY-02 KEY-07", "A slash at a key's end is dropped.", NAMES),
    _break("state", "key-leading-slash-dropped", "KEY-02 KEY-07", "A slash at a key's beginning is dropped.", NAMES),
    _break("state", "key-trailing-dot-dropped", "KEY-07", "A dot at a key's end is dropped.", NAMES),
    _break("state", "key-normalized", "KEY-06 KEY-07", "Keys are brought into Unicode's normal form C.", NAMES),
    _break("state", "key-cut-at-255", "KEY-07", "Only the first 255 bytes of a key count.", NAMES),
    _break("state", "key-cut-at-1024", "KEY-07", "Only the first 1,024 bytes of a key count.", NAMES),
    _break("state", "key-backslash-as-slash", "KEY-07", "A backslash in a key is a slash.", NAMES),
    _break("state", "key-trimmed", "KEY-07", "Spaces at a key's ends are dropped.", NAMES),
    _break("state", "key-cut-at-nul", "KEY-07", "A key ends at its first NUL.", NAMES),
    _break("state", "key-controls-dropped", "KEY-07", "Control characters in a key are dropped.", NAMES),
    _break("state", "key-cut-at-hash", "KEY-07", "A key ends at %23.", NAMES),
    _break("state", "key-cut-at-question-mark", "KEY-07", "A key ends at %3F.", NAMES),
    _break("state", "key-cut-at-semicolon", "KEY-05", "A key ends at its first semicolon.", NAMES),
    _break("state", "key-tags-dropped", "KEY-08", "What follows the fifth @ of a key is dropped.", "section 7: keys carry tags and salts"),
    _break("state", "key-beyond-bmp-replaced", "KEY-06", "Characters beyond U+FFFF are replaced by U+FFFD.", NAMES),
    _break("state", "key-hashed-to-16-bits", "KEY-07", "Keys are told apart by a 16-bit hash alone.", NAMES),
    _break("state", "key-decoded-twice", "KEY-03", "Keys are decoded twice.", NAMES),
    _break("state", "key-plus-as-space", "KEY-04", "A plus in a path is a space.", NAMES),
    _break("wire", "key-with-percent-refused", "KEY-03", "A key that holds a percent sign is answered 400.", NAMES),
    _break("wire", "key-encoded-slash-separates", "KEY-02", "%2F separates segments, as a bare slash does.", NAMES),
    _break("wire", "key-over-200-bytes-refused", "KEY-08", "A key longer than 200 bytes is answered 414.", NAMES),
    _break("state", "key-lower-case-hex-kept", "KEY-09", "%2f stands for itself; only %2F is decoded.", "RFC 3986: both cases mean the same", "should"),
    _break("state", "bucket-case-folded", "BUCKET-02", "Buckets that differ in case only are one.", NAMES),
    _break("state", "bucket-ignored", "BUCKET-02", "All buckets are one.", NAMES),
    _break("state", "bucket-not-decoded", "BUCKET-03", "A bucket's name is taken as it stands in the path.", NAMES),
    _break("state", "bucket-and-key-joined", "BUCKET-02", "Bucket and key are joined by a slash, so that their boundary is lost.", NAMES),
    _break("state", "buckets-limited-to-64", "BUCKET-01 BUCKET-02", "From the 65th on, buckets are one.", NAMES),
    # Many.
    _break("state", "objects-limited-to-500", "PUT-01", "Of the objects stored the newest 500 are kept, however small.", STORED + "; the capacity alone limits"),
    _break("state", "leases-limited-to-500", "LEASE-06 CONC-04", "The 501st live lease is answered 503.", "section 4: many live leases on a key are harmless"),
    _break("state", "lease-ids-repeat-after-256", "LEASE-06 CONC-04", "Lease ids repeat after 256.", "section 5: an id names one lease"),
    _break("time", "slow-put-holds-up-others", "PUT-03 CONC-03", "While a body is arriving every other PUT and lease request waits.", "section 3: the body may come much later; section 6: requests in flight at once"),
    _break("time", "one-put-at-a-time", "PUT-03 CONC-03", "While a body is arriving every other PUT waits.", "section 3: the body may come much later; section 6: requests in flight at once"),
    _break("time", "held-requests-take-workers", "CONC-02", "32 held requests leave nobody to answer the others.", "section 4: held requests do not delay others", "should"),
    _break("state", "connections-limited-to-100", "CONC-01", "The 101st connection is closed at once.", "section 6: 128 connections are one engine's default"),
    # The wire.
    _break("wire", "grant-as-text", "LEASE-01", "A grant is text/plain.", GRANT),
    _break("wire", "grant-type-in-capitals", "LEASE-01", "A grant is Application/JSON; the in-process client compares with case.", GRANT),
    _break("wire", "grant-offsets-as-strings", "LEASE-02", "Offsets and lengths are strings.", GRANT),
    _break("wire", "grant-length-not-len", "LEASE-02", "A fragment's length is named length.", GRANT),
    _break("wire", "grant-201", "HOLD-07 LEASE-01", "A grant is answered 201.", GRANT),
    _break("wire", "grant-id-as-number", "LEASE-02", "The id is a number.", GRANT, "should"),
    _break("wire", "grant-id-with-slash", "LEASE-03", "Ids hold slashes; the in-process client does not encode them.", "section 4: [A-Za-z0-9_-]"),
    _break("wire", "grant-id-with-percent", "LEASE-03", "Ids hold %41; the in-process client does not encode them.", "section 4: [A-Za-z0-9_-]"),
    _break("wire", "release-id-not-decoded", "REL-01", "An id is compared as it stands in the path: %61 is not a.", "section 5: percent-encoded ids are decoded once"),
    _break("state", "release-over-same-connection-only", "REL-06", "A release over another connection than the lease's is answered 404.", RELEASE),
    _break("wire", "release-204", "REL-01", "A release is answered 204.", RELEASE),
    _break("wire", "release-202", "REL-01", "A release is answered 202.", RELEASE),
    _break("state", "delete-releases", "REL-04", "DELETE under /v1/kv/BUCKET/KEY/leases/ID releases.", "section 5: it is not part of the protocol"),
    _break("state", "delete-releases-and-says-404", "REL-04", "DELETE under /v1/kv/BUCKET/KEY/leases/ID is answered 404, and releases.", "section 5: the lease lives on"),
    _break("wire", "put-201", "PUT-05", "A PUT is answered 201.", "section 3: 201 is a failure to the client"),
    _break("wire", "conflict-200", "PUT-02", "A second PUT of a key is answered 200, and dropped.", CONFLICT),
    _break("wire", "conflict-leaves-body-unread", "PUT-08", "A 409 leaves the body unread and the connection open.", "section 3: read to its end or closed"),
    _break("wire", "refusal-leaves-body-unread", "PUT-08", "A refusal of a PUT, except 409, leaves the body unread and the connection open.", "section 3: read to its end or closed"),
    _break("wire", "not-found-leaves-body-unread", "PUT-08 HTTP-04", "A 404 leaves a request's body unread and the connection open.", "section 3: read to its end or closed"),
    _break("wire", "errors-as-text", "PUT-07", "Errors carry plain text.", "section 3: an empty or a JSON body"),
    _break("wire", "miss-500", "HOLD-02", "A miss is answered 500.", "section 4: 504 or 404"),
    _break("wire", "miss-204", "HOLD-02", "A miss is answered 204.", "section 4: 504 or 404"),
    _break("wire", "health-page", "HTTP-03", "GET /health is answered 200.", "section 1: 404"),
    _break("wire", "objects-readable", "HTTP-04", "GET of an object is answered with its bytes.", "section 1: no read of object bytes over HTTP"),
    _break("wire", "http-1.0-spoken", "HTTP-01", "Responses are HTTP/1.0.", "section 1: HTTP/1.1"),
    _break("wire", "public-heads-refused", "PUT-04", "A PUT with Accept-Encoding is answered 406.", "section 3: the public clients send it"),
    _break("wire", "large-pieces-of-head-refused", "HTTP-07", "A head that does not come in one piece is answered 400.", "RFC 9112 section 2.2", "should"),
    _break("wire", "pipelined-requests-dropped", "HTTP-06", "What arrives behind a request before its response is dropped.", "RFC 9112 section 9.3.2", "should"),
    _break("wire", "gzip-unasked", "LEASE-01 LEASE-02", "Grants are gzip-coded, whether or not that was offered.", "RFC 9110 section 12.5.3"),
    _break("wire", "length-and-chunked-together", "LEASE-02", "Responses carry Content-Length and Transfer-Encoding.", "RFC 9112 section 6.2"),
    # The segment.
    _break("state", "segment-readable-by-all", "SHM-02", "The segment's mode is 0644.", "section 2: 0600"),
    _break("state", "segment-one-page-longer", "SHM-01", "The segment is a page longer than the capacity.", "section 2: its size is the capacity"),
    _break("state", "segment-comes-back", "RESTART-04", "An unlinked segment's name comes back within a second.", "section 2: not before a restart"),
    _break("state", "orphan-not-served", "RESTART-05", "While the segment is unlinked, lease requests are answered 500.", "section 2: it keeps serving leases from the orphan", "should"),
]

VARIATIONS = [
    # Connections.
    _vary("close", "wire", "close-after-response", "Each response says Connection: close, and the connection is closed.", "RFC 9112 section 9.6; clients open another", "HTTP-05 LEASE-07 HTTP-06 HTTP-12"),
    _vary("close", "wire", "close-unannounced", "Each connection is closed after its response, without saying so.", "RFC 9112 section 9.5; clients open another", "HTTP-05 LEASE-07 HTTP-06 HTTP-12"),
    _vary("close", "wire", "close-after-error", "Each response of 400 or more closes the connection.", "RFC 9112 section 9.6; section 3", "HTTP-05 LEASE-07 HTTP-06 HTTP-12"),
    _vary("close", "wire", "close-after-a-hundred", "The hundredth response closes the connection.", "RFC 9112 section 9.6", "HTTP-05"),
    _vary("close", "wire", "close-after-three", "The third response closes the connection.", "RFC 9112 section 9.6", "HTTP-05 LEASE-07 HTTP-06 HTTP-12"),
    _vary("close", "time", "close-when-idle-for-a-second", "A connection that is idle for a second is closed.", "RFC 9112 section 9.5", "HTTP-05 HTTP-12"),
    _vary("early", "wire", "early-409", "A 409 is sent before the body is read, and closes the connection.", "section 3: or closes the connection", "HTTP-05"),
    _vary("early", "wire", "early-refusals", "Every refusal of a PUT, 409 too, is sent before the body is read, and closes the connection.", "section 3: or closes the connection", "HTTP-05"),
    _vary("keep-alive", "wire", "keep-alive-announced", "Responses carry Connection: keep-alive and Keep-Alive: timeout=30.", "RFC 9112 section 9.3"),
    # Places.
    _vary("place", "state", "scattered", "Objects are scattered over the segment block by block.", "section 2: one or more fragments"),
    _vary("place", "state", "contiguous", "An object has one fragment; others are evicted until it fits.", "section 2: one or more fragments"),
    _vary("place", "state", "backwards", "Fragments descend through the segment.", "section 2: in order, of the object"),
    _vary("split", "wire", "unmerged-fragments", "Neighbouring blocks are told as fragments of their own.", "section 2: one or more fragments"),
    _vary("split", "wire", "short-first-fragment", "The first fragment has 7 bytes, so that a header straddles two.", "section 2: a header may straddle two"),
    _vary("split", "wire", "fragments-of-1000-bytes", "Fragments have 1,000 bytes at most.", "section 2: one or more fragments"),
    _vary("move", "state", "moved-between-leases", "An object that nobody leases is moved before it is leased again.", "section 4: pinned only while leased"),
    _vary("move", "state", "copy-for-each-lease", "Each lease gets a copy of the object at a place of its own.", "section 4: each lease pins what it tells"),
    _vary("block", "state", "blocks-of-1mib", "The block is 1 MiB.", "section 1: block_size is configured"),
    _vary("block", "state", "blocks-of-4k", "The block is 4 KiB.", "section 1: block_size is configured"),
    _vary("block", "state", "a-tenth-reserved", "A tenth of the capacity is never used.", "nothing says how much of it objects get", "PUT-12 PUT-13"),
    # Interim responses and codings.
    _vary("interim", "wire", "interim-102", "102 Processing comes before each response.", "RFC 9110 section 15.2: clients skip 1xx"),
    _vary("interim", "wire", "interim-103", "Two 103 Early Hints with headers come before each response.", "RFC 9110 section 15.2: clients skip 1xx"),
    _vary("interim", "wire", "unasked-100", "100 Continue comes before each PUT's body, asked for or not.", "RFC 9110 section 15.2: clients skip 1xx"),
    _vary("coding", "wire", "chunked-responses", "Bodies of responses are chunked.", "RFC 9112 section 7.1"),
    _vary("coding", "wire", "chunked-with-extensions", "Bodies are chunked, in chunks of 5 bytes with extensions and a trailer.", "RFC 9112 section 7.1"),
    _vary("coding", "wire", "gzip-when-offered", "Bodies are gzip-coded when the request offers it.", "RFC 9110 section 12.5.3"),
    _vary("coding", "wire", "deflate-when-offered", "Bodies are deflate-coded when the request offers it.", "RFC 9110 section 12.5.3"),
    _vary("coding", "wire", "body-until-close", "A response with a body has no length and ends with its connection.", "RFC 9112 section 6.3", "HTTP-05 LEASE-07 HTTP-06 HTTP-12"),
    # Headers and status lines.
    _vary("case", "wire", "headers-in-lower-case", "Header names are in lower case.", "RFC 9110 section 5.1"),
    _vary("case", "wire", "headers-in-upper-case", "Header names are in upper case.", "RFC 9110 section 5.1"),
    _vary("space", "wire", "no-space-in-headers", "No space stands before a header's value.", "RFC 9112 section 5"),
    _vary("space", "wire", "space-around-headers", "Tabs and spaces stand around a header's value.", "RFC 9112 section 5"),
    _vary("reason", "wire", "no-reason", "The status line has no reason phrase.", "RFC 9112 section 4"),
    _vary("reason", "wire", "other-reason", "The reason phrase is \"Fine, thanks\", whatever the status.", "RFC 9112 section 4"),
    _vary("headers", "wire", "more-headers", "Responses carry Date, Server, Set-Cookie twice, an empty header and a long one.", "RFC 9110 section 5"),
    _vary("type", "wire", "json-with-charset", "The type is application/json; charset=utf-8.", "both public clients accept it"),
    # JSON.
    _vary("layout", "wire", "json-compact", "JSON has no whitespace.", "RFC 8259"),
    _vary("layout", "wire", "json-spread", "JSON has whitespace wherever it may, line breaks too.", "RFC 8259"),
    _vary("members", "wire", "json-more-members", "Grants and fragments have further members, of every kind.", "section 4: clients ignore further members"),
    _vary("order", "wire", "json-other-order", "The members of grants and fragments come in another order.", "RFC 8259"),
    _vary("escape", "wire", "json-escapes", "Strings and member names are written with \\u escapes.", "RFC 8259"),
    _vary("ids", "wire", "ids-counted", "Ids are 1, 2, 3, …", "section 4: the id is opaque"),
    _vary("ids", "wire", "ids-of-200-characters", "Ids have 200 characters.", "section 4: the id is opaque"),
    _vary("ids", "wire", "ids-of-dashes", "Ids begin with dashes and underscores.", "section 4: [A-Za-z0-9_-]"),
    _vary("ids", "wire", "ids-as-uuid", "Ids are UUIDs.", "section 4: [A-Za-z0-9_-]"),
    _vary("errors", "wire", "errors-empty", "Errors have no body.", "section 3: an empty or a JSON body"),
    _vary("errors", "wire", "errors-long", "Errors have a JSON body of 8 KiB.", "section 3: an empty or a JSON body"),
    # Statuses.
    _vary("miss", "wire", "miss-404", "A miss is answered 404.", "section 4: 404 is a miss as well"),
    _vary("unknown", "wire", "unknown-release-200", "The release of an unknown id is answered 200.", "the clients take it for success", "REL-02 TTL-03 RESTART-03"),
    _vary("method", "wire", "method-405", "Another method on a known path is answered 405.", "section 5: 404 or 405"),
    _vary("assumed", "wire", "other-statuses", "Empty bodies, no room and malformed parameters are answered 422, 503 and 422.", "marked A", "PUT-11 PUT-12 LEASE-09"),
    _vary("assumed", "state", "assumed-otherwise", "Malformed parameters count as missing; a missing timeout_ms is 1,000, a missing ttl_s 60.", "marked A", "LEASE-08 LEASE-09"),
    _vary("request-coding", "wire", "chunked-refused", "A chunked PUT is answered 411.", "marked A", "PUT-06"),
    _vary("expect", "wire", "expect-ignored", "Expect is ignored.", "marked A", "PUT-14"),
    _vary("malformed", "wire", "malformed-closes", "A malformed request costs its connection, without a response.", "section 3 and RFC 9112: or its connection closed", "LIMIT-02 LIMIT-03 LIMIT-04 LIMIT-05 LIMIT-06 LIMIT-07 LIMIT-08 LIMIT-09 LIMIT-10"),
    _vary("old-http", "wire", "http-1.0-refused", "HTTP/1.0 is answered 505.", "RFC 9110 section 15.6.6", "HTTP-11"),
    # Time.
    _vary("expiry", "time", "expiry-swept-each-second", "Expired leases end at the next whole second.", "section 4: may reuse, not must", "TTL-03 PIN-04"),
    _vary("expiry", "time", "expiry-on-demand", "Expired leases end when their room is needed.", "section 4: may reuse, not must", "TTL-03 PIN-04"),
    _vary("wake", "time", "waiters-look-at-the-end", "A held request is looked at again when its timeout_ms has passed.", "granted at once is marked I", "HOLD-04 HOLD-05 HOLD-06"),
    _vary("wake", "time", "waiters-look-each-200ms", "A held request is looked at again each 200 ms.", "granted at once is marked I", "HOLD-04 HOLD-05 HOLD-06"),
    _vary("late", "time", "holds-end-300ms-late", "A hold ends 300 ms after its timeout_ms.", "section 6: mp waits 500 ms longer"),
    _vary("pace", "time", "responses-60ms-late", "Each response comes 60 ms late.", "nothing says how fast", "HOLD-04 HOLD-05"),
    _vary("pace", "wire", "responses-in-pieces", "Responses come in pieces of 7 bytes, 1 ms apart.", "TCP is a stream"),
    _vary("pace", "wire", "head-before-body", "The body of a response comes 30 ms after its head.", "TCP is a stream", "HOLD-04 HOLD-05"),
    _vary("ttl-start", "time", "ttl-from-arrival", "The TTL of a held request counts from its arrival.", "section 4: no earlier than the client's sending"),
    _vary("abandoned", "state", "abandoned-leases-stay", "A client that goes away while it is held leaves a lease until its TTL.", "marked I", "HOLD-06"),
    _vary("restart", "time", "restart-shows-an-empty-segment", "A restart takes 500 ms, and the segment has length 0 meanwhile.", "section 2: for a moment its length is 0"),
    # Eviction and PUTs.
    _vary("evict", "state", "evict-first-in", "The object stored first is evicted first.", "nothing says which"),
    _vary("evict", "state", "evict-at-random", "Any object may be evicted first.", "nothing says which"),
    _vary("evict", "state", "evict-largest", "The largest object is evicted first.", "nothing says which"),
    _vary("evict", "state", "evict-all", "When room is needed, everything that is not leased is evicted.", "nothing says how much"),
    _vary("race", "state", "first-put-to-begin-wins", "Of two PUTs of one key at once the first to begin gets 200.", "section 3: one gets 200, the other 409"),
    _vary("race", "state", "room-taken-at-the-end", "Room for a body is taken when all of it has arrived.", "nothing says when", "PUT-13"),
]

SWITCHES = {switch.name: switch for switch in VARIATIONS + DEFECTS}
