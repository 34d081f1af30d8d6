// SPDX-License-Identifier: Apache-2.0
#include "requirements/catalogue.h"

#include <algorithm>
#include <array>

namespace hyperpod::conformance::requirements {
namespace {

using enum Mark;
using C = Chapter;

constexpr std::array requirements{
    Requirement{
        "PUT-01", C::store, client, "conn, mp",
        "The body of a PUT is stored byte for byte: a later lease leads to exactly the bytes "
        "that were sent."},
    Requirement{"PUT-02", C::store, client, "conn, mp",
                "A PUT of a key that already exists is answered 409, and the stored bytes stay as "
                "they were."},
    Requirement{"PUT-03", C::store, client, "conn, mp",
                "A body may come with its head or much later, and in pieces of any size."},
    Requirement{
        "PUT-04", C::store, client, "conn, mp",
        "The request heads of the public clients are accepted as they are, Accept-Encoding, "
        "User-Agent and octet-stream content type included."},
    Requirement{
        "PUT-05", C::store, client, "conn",
        "A PUT that stored its object is answered 200; the clients take 201 and every other "
        "status for a failure."},
    Requirement{"PUT-06", C::store, assumed, "conn, mp",
                "A PUT body with chunked transfer coding is accepted as well."},
    Requirement{"PUT-07", C::store, client, "conn, mp",
                "An error response carries an empty body or a JSON one."},
    Requirement{
        "PUT-08", C::store, client, "conn, mp",
        "A response that refuses a PUT, a 409 too, either follows upon reading its body to the "
        "end or closes the connection: what is left of a body is never taken for a request."},
    Requirement{"PUT-09", C::store, inferred, "conn",
                "An object is visible only once its whole body has arrived; a PUT cut short leaves "
                "nothing behind."},
    Requirement{
        "PUT-10", C::store, inferred, "",
        "Of two PUTs of one key at once, one is answered 200 and the other 409, and the bytes "
        "are those of the first, never a mixture."},
    Requirement{"PUT-11", C::store, assumed, "mp",
                "A PUT with an empty body is answered 400, for a lease must have a fragment."},
    Requirement{
        "PUT-12", C::store, assumed, "",
        "A PUT for which no room can be made, because live leases pin the rest, is answered "
        "507 and changes nothing."},
    Requirement{"PUT-13", C::store, assumed, "",
                "A PUT larger than the whole cache is answered 413 before its body is read."},
    Requirement{"PUT-14", C::store, assumed, "",
                "A PUT with Expect: 100-continue is answered 100 before its body is read."},
    Requirement{"PUT-15", C::store, inferred, "conn",
                "A PUT cut short gives back the room it had reserved."},
    Requirement{"PUT-16", C::store, client, "conn, mp",
                "Objects as large as real chunks, 8 to 80 MiB, are stored byte for byte."},
    Requirement{
        "PUT-17", C::store, client, "conn, mp",
        "What is granted is one whole body: never one that is still arriving, was cut short, "
        "or is mixed of two; and no such body makes its key exist."},
    Requirement{"PUT-18", C::store, client, "conn, mp",
                "What was stored stays while the cache has room for it, however many objects "
                "there are."},

    Requirement{"KEY-01", C::keys, client, "conn, mp",
                "The same key may arrive with %40 and with a bare @."},
    Requirement{"KEY-02", C::keys, client, "conn, mp",
                "%2F is part of a key and never a separator."},
    Requirement{"KEY-03", C::keys, client, "conn, mp",
                "Keys are decoded exactly once: %2540 is the key %40, another key than @."},
    Requirement{"KEY-04", C::keys, client, "conn, mp",
                "A plus in a path is a plus, the same key as %2B and another than the space %20."},
    Requirement{"KEY-05", C::keys, client, "conn, mp",
                "The characters @ : ~ ! $ & ' ( ) * , ; = may stand bare in a key, and mean what "
                "their encoded forms mean."},
    Requirement{"KEY-06", C::keys, client, "conn, mp",
                "A key may hold any UTF-8, percent-encoded."},
    Requirement{"KEY-07", C::keys, client, "conn, mp",
                "Keys that differ in a single byte, in case or in length are different objects."},
    Requirement{"KEY-08", C::keys, client, "conn, mp",
                "Keys of the forms that LMCache builds, model names with slashes, tags and salts "
                "included, are stored and found."},
    Requirement{"KEY-09", C::keys, inferred, "RFC 3986 section 6.2.2.1",
                "The hexadecimal digits of a percent-encoding mean the same in both cases."},
    Requirement{"KEY-10", C::keys, client, "conn, mp",
                "However many keys there are, no new one is taken for another."},

    Requirement{"BUCKET-01", C::buckets, inferred, "conn",
                "A bucket comes into being by the first PUT into it."},
    Requirement{"BUCKET-02", C::buckets, client, "doc",
                "A bucket is a name space: the same key in two buckets names two objects."},
    Requirement{"BUCKET-03", C::buckets, client, "conn, mp",
                "A bucket's name is percent-decoded once, as a key is."},

    Requirement{"LEASE-01", C::lease, client, "conn, mp",
                "A granted lease is answered 200 with Content-Type application/json, in lower "
                "case; under another type the clients ignore the body."},
    Requirement{"LEASE-02", C::lease, client, "conn, mp",
                "The body of a grant is a JSON object with an id, and with offsets, an array "
                "of objects with the integers offset and len."},
    Requirement{
        "LEASE-03", C::lease, client, "mp, conn",
        "A lease id is made of A-Z, a-z, 0-9, _ and - only, because one public client sends "
        "it back without encoding it."},
    Requirement{
        "LEASE-04", C::lease, client, "conn, mp",
        "The query timeout_ms=INTEGER&ttl_s=DECIMAL, as in timeout_ms=5000&ttl_s=30.0, on a "
        "POST with Content-Length: 0 is understood."},
    Requirement{"LEASE-05", C::lease, client, "mp, conn",
                "A lease has at least one fragment; each is longer than 0 and inside the segment, "
                "none overlaps another, and together they are as long as the object."},
    Requirement{
        "LEASE-06", C::lease, client, "mp",
        "Many leases on one object may be live at once, for one client or several, each with "
        "an id of its own."},
    Requirement{"LEASE-07", C::lease, inferred, "RFC 9112 section 9.3, mp",
                "A miss is ordinary: the connection on which it was answered serves the next "
                "request."},
    Requirement{"LEASE-08", C::lease, assumed, "",
                "Without timeout_ms a lease request is not held, and without ttl_s the lease lives "
                "30 s."},
    Requirement{"LEASE-09", C::lease, assumed, "",
                "A timeout_ms or ttl_s that is malformed, negative or not finite is answered 400."},
    Requirement{"LEASE-10", C::lease, inferred, "mp", "The id of a lease is a JSON string."},

    Requirement{"HOLD-01", C::hold, client, "mp",
                "While its key is absent a lease request is held: it is not answered before "
                "timeout_ms has passed."},
    Requirement{"HOLD-02", C::hold, client, "mp",
                "A lease request whose key stays absent is answered 504, or 404: both are misses."},
    Requirement{"HOLD-03", C::hold, client, "mp",
                "The response to a held request comes within 500 ms of timeout_ms: that is all the "
                "margin the multi-process client leaves."},
    Requirement{"HOLD-04", C::hold, inferred, "mp",
                "A held request is granted at once when its key is stored."},
    Requirement{
        "HOLD-05", C::hold, inferred, "mp",
        "When a key is stored, every request held for it is granted, each with a lease of its "
        "own."},
    Requirement{"HOLD-06", C::hold, inferred, "",
                "A client that disconnects while its request is held leaves no lease behind."},
    Requirement{"HOLD-07", C::hold, client, "conn, mp",
                "A request for a key that exists is granted without being held."},
    Requirement{
        "HOLD-08", C::hold, client, "mp",
        "A lease request that waited is granted the object that it asked for, and only once "
        "all of it is stored."},

    Requirement{
        "TTL-01", C::ttl, client, "mp",
        "A lease lives for its whole ttl_s, counted from no earlier moment than that at which "
        "the client sent its request."},
    Requirement{"TTL-02", C::ttl, client, "conn, mp",
                "ttl_s is a decimal number: its fraction counts."},
    Requirement{"TTL-03", C::ttl, inferred, "mp, 1968",
                "A lease ends when its ttl_s has passed: its release is then answered 404."},
    Requirement{"TTL-04", C::ttl, inferred, "mp",
                "Each lease on an object has its own TTL: the end of one does not end another."},
    Requirement{"TTL-05", C::ttl, inferred, "conn, mp",
                "ttl_s may have an exponent, as Python writes very small and very large numbers."},

    Requirement{"PIN-01", C::pins, client, "conn, mp",
                "The bytes of a leased object do not change while the lease lives, however much is "
                "stored meanwhile."},
    Requirement{"PIN-02", C::pins, client, "conn, mp",
                "A leased object stays: while the lease lives its fragments hold its bytes, even "
                "where nothing else could give way."},
    Requirement{"PIN-03", C::pins, inferred, "mp",
                "Objects that no lease pins give way to new ones: a full cache goes on storing."},
    Requirement{"PIN-04", C::pins, inferred, "mp",
                "A lease that has expired pins nothing any longer."},
    Requirement{
        "PIN-05", C::pins, client, "conn, mp",
        "An object that was evicted, or found no room, is absent: its key is a miss, can be "
        "stored later, and never leads to other bytes; what a full cache has stored is "
        "there."},

    Requirement{"REL-01", C::release, client, "conn, mp",
                "The release of a live lease is answered 200."},
    Requirement{"REL-02", C::release, inferred, "1968",
                "The release of an unknown or already released id is answered 404."},
    Requirement{"REL-03", C::release, client, "conn, mp", "A release ends its pin at once."},
    Requirement{
        "REL-04", C::release, client, "1968",
        "DELETE under /v1/kv/BUCKET/KEY/leases/ID is not a release: it is answered 404 or 405, "
        "and the lease lives on."},
    Requirement{"REL-05", C::release, client, "mp",
                "A release ends the one lease it names; others on the same object live on."},
    Requirement{"REL-06", C::release, client, "conn, mp",
                "A lease can be released over any connection, for clients take one from a pool."},
    Requirement{"REL-07", C::release, client, "mp",
                "A lease id in the path of a release is percent-decoded once."},

    Requirement{"SHM-01", C::shared_memory, observed, "field",
                "The segment is a POSIX shared-memory object, /dev/shm/NAME, whose size is the "
                "cache's capacity."},
    Requirement{"SHM-02", C::shared_memory, observed, "field",
                "The segment's mode is 0600: nobody but its owner may read or write it."},
    Requirement{
        "SHM-03", C::shared_memory, client, "conn, mp",
        "The bytes at a lease's offsets, read through a read-only mapping and put together in "
        "order, are the object's."},
    Requirement{
        "SHM-04", C::shared_memory, client, "conn",
        "The bytes are in the segment when the grant arrives, however soon after the PUT it "
        "comes."},
    Requirement{
        "SHM-05", C::shared_memory, client, "mp, 4234",
        "Clients may come and go: mapping the segment and unmapping it leaves name, inode and "
        "size as they were."},

    Requirement{"CONC-01", C::concurrency, client, "doc",
                "128 connections at once, the default of one engine, are all served."},
    Requirement{"CONC-02", C::concurrency, inferred, "mp",
                "Requests that are held do not delay those that can be answered at once."},
    Requirement{"CONC-03", C::concurrency, client, "conn, mp",
                "PUTs of different keys at once keep their bytes apart."},
    Requirement{"CONC-04", C::concurrency, client, "conn, mp",
                "Leases taken at once have ids of their own, and each can be released once."},
    Requirement{
        "CONC-05", C::concurrency, inferred, "doc",
        "Several worker processes, each with its own connections and held requests, are all "
        "served, none of them starving."},
    Requirement{"CONC-06", C::concurrency, inferred, "doc",
                "1,024 connections at once, eight workers with the default limits, are served."},
    Requirement{"CONC-07", C::concurrency, inferred, "mp",
                "However much some connections send, new and established ones are answered within "
                "1.5 s, as long as the multi-process client waits for a look-up."},

    Requirement{"HTTP-01", C::http, observed, "field", "The daemon speaks HTTP/1.1."},
    Requirement{"HTTP-02", C::http, observed, "field",
                "The port is reachable over IPv4 and IPv6 alike."},
    Requirement{
        "HTTP-03", C::http, observed, "field",
        "There is no inspection API: GET of /, /health, /metrics, /stats, /status, /buckets, "
        "/cache and /debug/vars is answered 404."},
    Requirement{"HTTP-04", C::http, client, "conn, mp",
                "Objects cannot be read, listed or deleted over HTTP."},
    Requirement{"HTTP-05", C::http, inferred, "RFC 9112 section 9.3, conn, mp",
                "Connections are kept alive: one connection serves request after request."},
    Requirement{"HTTP-06", C::http, inferred, "RFC 9112 section 9.3.2",
                "Pipelined requests are all answered, in the order in which they were sent."},
    Requirement{"HTTP-07", C::http, inferred, "RFC 9112 section 2.2",
                "A request head may arrive in pieces, byte by byte."},
    Requirement{"HTTP-08", C::http, inferred, "RFC 9110 section 5.1",
                "Header names mean the same in any case, with or without space before the value."},
    Requirement{"HTTP-09", C::http, inferred, "RFC 9112 section 3.2.2",
                "A request target in absolute form is understood."},
    Requirement{
        "HTTP-10", C::http, inferred, "RFC 9112 section 9.6",
        "After a request with Connection: close the response comes whole, and the connection is "
        "closed."},
    Requirement{"HTTP-11", C::http, inferred, "RFC 9112 section 9.3",
                "A request of HTTP/1.0 is answered and its connection closed."},
    Requirement{"HTTP-12", C::http, inferred, "conn, mp",
                "A connection that has been idle for as long as clients keep theirs, 30 s, still "
                "serves."},

    Requirement{"LIMIT-01", C::limits, inferred, "RFC 9112 section 6.1",
                "A request with both Content-Length and Transfer-Encoding is refused or its "
                "connection closed, and nothing behind it is taken for a request."},
    Requirement{
        "LIMIT-02", C::limits, inferred, "RFC 9112 section 6.3",
        "Content-Length headers that differ, or one that is not a number, are refused and store "
        "nothing."},
    Requirement{"LIMIT-03", C::limits, inferred, "RFC 9112 section 7.1",
                "A chunked body with a malformed chunk size is refused and stores nothing."},
    Requirement{
        "LIMIT-04", C::limits, assumed, "",
        "A request target of 64 KiB is refused (414, 431 or 400) or its connection closed."},
    Requirement{"LIMIT-05", C::limits, assumed, "",
                "A request head of 1 MiB, or one of 5,000 headers, is refused (431 or 400) or its "
                "connection closed."},
    Requirement{"LIMIT-06", C::limits, inferred, "RFC 9110 section 5.5",
                "A head with a NUL in a name is refused (400) or its connection closed; in a "
                "value a NUL may count as a space."},
    Requirement{
        "LIMIT-07", C::limits, assumed, "RFC 3986 section 2.1",
        "A malformed percent-encoding in a target is answered 400 or 404 and stores nothing."},
    Requirement{"LIMIT-08", C::limits, assumed, "",
                "A target without bucket or key is answered 400, 404 or 405 and stores nothing."},
    Requirement{"LIMIT-09", C::limits, inferred, "RFC 9112 section 2.2",
                "Bytes that are not HTTP are answered 400 or their connection is closed, and other "
                "connections never notice."},
    Requirement{"LIMIT-10", C::limits, inferred, "RFC 9112 section 3.2",
                "A request of HTTP/1.1 without Host is answered 400."},
    Requirement{
        "LIMIT-11", C::limits, assumed, "",
        "A request head that is not complete 10 s after its first byte costs its sender the "
        "connection."},
    Requirement{"LIMIT-12", C::limits, assumed, "",
                "A burst of 2,000 connections that say nothing leaves the daemon serving."},

    Requirement{"TLS-01", C::tls, client, "doc",
                "Over https the whole protocol works as over http."},
    Requirement{"TLS-02", C::tls, assumed, "RFC 8996", "TLS below version 1.2 is refused."},
    Requirement{"TLS-03", C::tls, inferred, "",
                "Plain HTTP sent to a TLS port gets no grant and no hang: an error or a closed "
                "connection, and TLS clients never notice."},

    Requirement{"RESTART-01", C::restart, client, "mp",
                "A restart of the daemon gives a new segment: another inode under the same name."},
    Requirement{"RESTART-02", C::restart, client, "mp",
                "After a restart the daemon stores, leases and releases as before, in the new "
                "segment."},
    Requirement{"RESTART-03", C::restart, inferred, "mp",
                "Leases do not outlive a restart: releasing one from before is answered 404."},
    Requirement{
        "RESTART-04", C::restart, observed, "field",
        "A segment that somebody unlinked does not come back under its name before the daemon "
        "restarts."},
    Requirement{"RESTART-05", C::restart, inferred, "field",
                "While its segment is unlinked the daemon goes on serving from the orphan."},
    Requirement{
        "RESTART-06", C::restart, client, "mp",
        "Nothing that was stored before a restart is granted after it, or is in the way of a "
        "new PUT."},

    Requirement{
        "CP-01", C::checkpoints, client, "cp",
        "A namespace that POST /v1/cp/namespaces/{ns}?num_ranks=N&steps_retained=M created tells "
        "both numbers to a GET: 200 and JSON with num_ranks and steps_to_retain_per_rank."},
    Requirement{"CP-02", C::checkpoints, client, "cp",
                "The GET of a namespace that is not there is answered 404."},
    Requirement{"CP-03", C::checkpoints, inferred, "cp",
                "A namespace that is created again with other numbers is answered 409, and the "
                "first numbers stay."},
    Requirement{"CP-04", C::checkpoints, client, "cp",
                "DELETE of a namespace is a success, and its GET is answered 404 then."},
    Requirement{"CP-05", C::checkpoints, assumed, "", "With a namespace go its shards."},
    Requirement{"CP-06", C::checkpoints, client, "cp",
                "POST /v1/cp/checkpoints/{ns}/{rank}/{step} stores its body as that rank's shard "
                "of that step, and a GET gives it back byte for byte: 200 with a Content-Length."},
    Requirement{"CP-07", C::checkpoints, client, "cp",
                "The header Shard-Meta of a shard comes back with its GET as it was sent."},
    Requirement{
        "CP-08", C::checkpoints, assumed, "cp",
        "A shard may have no bytes, with Content-Length: 0 or with chunked transfer coding."},
    Requirement{"CP-09", C::checkpoints, assumed, "",
                "A shard for a namespace that is not there is answered 404."},
    Requirement{"CP-10", C::checkpoints, assumed, "",
                "A rank that is not a number from 0 to num_ranks - 1, or a step that is not a "
                "number of at least 0, is answered 400."},
    Requirement{
        "CP-11", C::checkpoints, assumed, "",
        "A shard stored again is replaced whole: a reader gets the old one or the new one."},
    Requirement{"CP-12", C::checkpoints, assumed, "",
                "The POST of a shard that is cut short leaves what was there."},
    Requirement{"CP-13", C::checkpoints, assumed, "",
                "A shard that does not fit the xxh3_128 checksum in its Shard-Meta is answered "
                "400, and what was there stays."},
    Requirement{"CP-14", C::checkpoints, client, "cp",
                "The GET of a shard that is not there is answered 404."},
    Requirement{"CP-15", C::checkpoints, client, "cp",
                "DELETE of a shard is a success, and its GET is answered 404 then; other ranks "
                "keep theirs."},
    Requirement{
        "CP-16", C::checkpoints, client, "cp",
        "GET /v1/cp/checkpoints/{ns}/latest?limit=N is answered with a JSON array of at most N "
        "steps, as numbers or texts in any order; where there is none, with [] or 404."},
    Requirement{"CP-17", C::checkpoints, assumed, "",
                "A step counts as latest once all num_ranks ranks have stored it."},
    Requirement{"CP-18", C::checkpoints, assumed, "",
                "Of each rank the newest steps_retained complete steps are kept; older ones go "
                "when a newer one is complete."},
    Requirement{"CP-19", C::checkpoints, client, "cp",
                "Names of namespaces hold spaces, dots and any UTF-8, percent-encoded, and are "
                "decoded once."},
    Requirement{"CP-20", C::checkpoints, assumed, "", "A shard is never evicted for a KV object."},
    Requirement{"CP-21", C::checkpoints, assumed, "",
                "A shard for which there is no room is answered 507, and what was there stays."},
    Requirement{
        "CP-22", C::checkpoints, client, "cp",
        "POST /v1/cp/cluster/reset is a success, and all namespaces and shards are gone then."},
};

}  // namespace

Level Requirement::level() const {
  switch (mark) {
    case observed:
    case client:
      return Level::must;
    case inferred:
      return Level::should;
    case assumed:
      break;
  }
  return Level::may;
}

std::span<const Requirement> daemon_catalogue() { return requirements; }

const Requirement* find_requirement(std::string_view id) {
  for (const auto catalogue : {daemon_catalogue(), client_catalogue()}) {
    const auto found = std::ranges::find(catalogue, id, &Requirement::id);
    if (found != catalogue.end()) return &*found;
  }
  return nullptr;
}

std::string_view letter(Mark mark) {
  constexpr std::array<std::string_view, 4> letters{"O", "C", "I", "A"};
  return letters[static_cast<std::size_t>(mark)];
}

std::string_view name(Level level) {
  constexpr std::array<std::string_view, 3> names{"MUST", "SHOULD", "MAY"};
  return names[static_cast<std::size_t>(level)];
}

std::string_view title(Chapter chapter) {
  constexpr std::array<std::string_view, 25> titles{"store",
                                                    "keys",
                                                    "buckets",
                                                    "lease",
                                                    "hold and wake",
                                                    "TTL",
                                                    "pins and eviction",
                                                    "release",
                                                    "shared memory",
                                                    "concurrency",
                                                    "HTTP",
                                                    "limits and hostile input",
                                                    "TLS",
                                                    "restart",
                                                    "checkpoints",
                                                    "throttling",
                                                    "connections",
                                                    "many workers",
                                                    "timeouts",
                                                    "leases",
                                                    "TTL",
                                                    "shared memory",
                                                    "breaker and recovery",
                                                    "wire",
                                                    "batches"};
  return titles[static_cast<std::size_t>(chapter)];
}

}  // namespace hyperpod::conformance::requirements
