// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "requirements/catalogue.h"

namespace hyperpod::conformance::requirements {
namespace {

using enum Mark;
using C = Chapter;

constexpr std::array client_requirements{
    Requirement{"C-THROTTLE-01", C::throttling, client, "doc, conn",
                "At most max_concurrent_requests puts of a client are in flight at any moment, "
                "and at most as many leases and releases, whatever waits behind them."},
    Requirement{"C-THROTTLE-02", C::throttling, inferred, "conn",
                "Where requests wait for their turn, leases go before puts."},
    Requirement{"C-THROTTLE-03", C::throttling, client, "doc, conn",
                "All that waits for its turn is done in the end: a backlog of ten times the limit "
                "loses no operation."},
    Requirement{"C-THROTTLE-04", C::throttling, client, "doc",
                "A client that is told no max_concurrent_requests keeps to 100."},
    Requirement{"C-THROTTLE-05", C::throttling, inferred, "doc",
                "At most max_concurrent_requests requests of all kinds together are in flight at "
                "any moment."},

    Requirement{"C-CONN-01", C::connections, client, "doc",
                "A client has at most max_connections TCP connections open, however slowly the "
                "daemon answers."},
    Requirement{
        "C-CONN-02", C::connections, client, "doc",
        "A client has at most max_connections_per_host TCP connections open to one daemon."},
    Requirement{"C-CONN-03", C::connections, client, "doc",
                "Connections that were reset are replaced within the limits, never beside them."},
    Requirement{"C-CONN-04", C::connections, client, "doc",
                "The limits hold while the daemon restarts and afterwards."},
    Requirement{
        "C-CONN-05", C::connections, client, "conn, mp",
        "Connections are kept alive and used again: requests one after the other need one."},
    Requirement{"C-CONN-06", C::connections, client, "conn, mp",
                "A connection that was idle for 30 s is closed by the client."},

    Requirement{"C-WORKERS-01", C::workers, client, "doc",
                "Each of N workers on a node keeps to its own limits: together they have at most N "
                "times as many connections open and requests in flight."},
    Requirement{"C-WORKERS-02", C::workers, client, "doc",
                "8 workers with max_connections_per_host 16, the documented advice, have at most "
                "128 connections open to the daemon."},
    Requirement{"C-WORKERS-03", C::workers, inferred, "doc",
                "None of the workers that share a daemon starves: each gets at least a quarter of "
                "what the average worker gets done."},
    Requirement{"C-WORKERS-04", C::workers, client, "conn, mp",
                "A worker that is killed leaves nothing behind but leases that expire: its "
                "connections close, and the other workers go on."},
    Requirement{
        "C-WORKERS-05", C::workers, inferred, "doc",
        "In a process that was forked from a client's, that client gives no bytes of another "
        "object and does not hang; the parent's is not disturbed."},

    Requirement{"C-TIME-01", C::timeouts, client, "conn, mp",
                "Each call returns within its deadline when the daemon never answers."},
    Requirement{"C-TIME-02", C::timeouts, client, "conn, mp",
                "A response that arrives after the deadline is not waited for, and later calls are "
                "not taken in by it."},
    Requirement{"C-TIME-03", C::timeouts, client, "mp",
                "A response that dribbles in byte by byte does not put the deadline off."},
    Requirement{"C-TIME-04", C::timeouts, client, "mp",
                "A put whose body the daemon stops reading returns within its deadline."},
    Requirement{"C-TIME-05", C::timeouts, client, "conn, mp",
                "A daemon whose machine accepts connections and says nothing costs each call no "
                "more than its deadline."},
    Requirement{
        "C-TIME-06", C::timeouts, client, "conn, mp",
        "Where nobody listens each call ends in a miss or an error within its deadline, and "
        "nothing crashes."},
    Requirement{"C-TIME-07", C::timeouts, inferred, "mp",
                "Waiting in the client's own queue counts towards a call's deadline."},
    Requirement{"C-TIME-08", C::timeouts, inferred, "mp",
                "The client waits longer than it lets the daemon hold a lease request, so that a "
                "grant at the last moment finds its owner."},
    Requirement{"C-TIME-09", C::timeouts, client, "mp",
                "A daemon that holds a request longer than it was asked to does not hold up the "
                "call beyond its deadline."},
    Requirement{"C-TIME-10", C::timeouts, inferred, "mp",
                "A process that is interrupted every few milliseconds keeps its deadlines all the "
                "same."},
    Requirement{
        "C-TIME-11", C::timeouts, inferred, "RFC 8305",
        "Where a host has several addresses and the first does not answer, another is tried "
        "within the deadline."},

    Requirement{"C-LEASE-01", C::client_leases, client, "conn, mp",
                "Each lease that was granted is released, whatever became of the call: after hits, "
                "misses and errors, one by one and all at once, as many releases as grants."},
    Requirement{"C-LEASE-02", C::client_leases, client, "conn, mp",
                "A lease is released once, and by its own id."},
    Requirement{"C-LEASE-03", C::client_leases, client, "1968",
                "Release is POST /v1/leases/{id}/release; nothing is sent that the protocol does "
                "not have."},
    Requirement{"C-LEASE-04", C::client_leases, inferred, "mp",
                "A lease whose fragments cannot be used (a negative offset, one beyond the "
                "segment, an empty fragment) is released before it is refused."},
    Requirement{
        "C-LEASE-05", C::client_leases, client, "conn, mp",
        "A lease of more bytes than max_lease_size_mb allows is released and never copied."},
    Requirement{
        "C-LEASE-06", C::client_leases, client, "conn, mp",
        "A lease answer that is cut short, of another content type, without id or offsets, or "
        "with an offset beyond the segment is never taken for a hit."},
    Requirement{"C-LEASE-07", C::client_leases, inferred, "mp",
                "A lease id is percent-encoded where a path needs it."},
    Requirement{"C-LEASE-08", C::client_leases, client, "mp",
                "404 and 504 alike are misses, and no errors."},
    Requirement{"C-LEASE-09", C::client_leases, inferred, "mp",
                "A lease whose fragments overlap, or are together longer than the segment, is "
                "released, never taken for a hit, and never allocated for."},
    Requirement{"C-LEASE-10", C::client_leases, inferred, "mp",
                "A grant that has an id and no offsets that can be used is released."},

    Requirement{"C-TTL-01", C::client_ttl, client, "mp",
                "A client that was stopped until its lease had expired gives out none of the bytes "
                "that stand there by then."},
    Requirement{"C-TTL-02", C::client_ttl, client, "mp",
                "The same when the room has meanwhile been given to another object; and no byte is "
                "read when the lease has been released."},
    Requirement{"C-TTL-03", C::client_ttl, client, "mp",
                "A client that was stopped in the middle of its copy until the lease had expired "
                "takes the copy for a miss."},
    Requirement{"C-TTL-04", C::client_ttl, inferred, "mp",
                "A client that was stopped while the daemon restarted gives out none of the "
                "bytes that stand in the new segment, and a lease of the new daemon is never read "
                "from the old segment."},
    Requirement{"C-TTL-05", C::client_ttl, client, "doc, conn",
                "The TTL that is asked for is lease_ttl_s, and 30.0 by default."},

    Requirement{"C-SHM-01", C::client_memory, client, "mp",
                "The segment is mapped for reading only."},
    Requirement{"C-SHM-02", C::client_memory, client, "conn, mp",
                "An object is read right in however many fragments it lies, even when a fragment "
                "ends within its header."},
    Requirement{"C-SHM-03", C::client_memory, client, "mp",
                "A segment that was replaced under its name is noticed, and read anew."},
    Requirement{
        "C-SHM-04", C::client_memory, client, "field, mp",
        "A segment that was unlinked costs hits at most, and a daemon that is started again "
        "is read from again."},
    Requirement{"C-SHM-05", C::client_memory, inferred, "mp",
                "A segment of length 0, as it is for a moment while it is made, is survived, "
                "and read once it is whole."},
    Requirement{"C-SHM-06", C::client_memory, inferred, "field",
                "A segment that may not be opened is survived, and read once it may."},
    Requirement{"C-SHM-07", C::client_memory, inferred, "mp",
                "A segment that is smaller than the lease says is survived: no byte beyond its end "
                "is touched."},
    Requirement{"C-SHM-08", C::client_memory, client, "4234",
                "However the client ends (in order, by an exception, by SIGTERM, by SIGKILL) the "
                "segment stays as it was: same inode, size and bytes."},
    Requirement{
        "C-SHM-09", C::client_memory, inferred, "mp",
        "A segment that a restart has made unreadable costs hits at most, and is read again "
        "once it may be."},

    Requirement{"C-BREAKER-01", C::recovery, client, "mp",
                "Misses and keys that exist already (404, 409, 504) never keep later calls from "
                "the daemon."},
    Requirement{"C-BREAKER-02", C::recovery, inferred, "mp",
                "After three transport failures in a row the daemon is asked only now and then, so "
                "that calls fail at once."},
    Requirement{"C-BREAKER-03", C::recovery, client, "conn, mp",
                "A daemon that is back is used again within 5 s."},
    Requirement{"C-BREAKER-04", C::recovery, client, "conn",
                "A put is reported as stored for 200 and 409 alone, whatever else the daemon "
                "answers, 201 included, or does not."},
    Requirement{
        "C-BREAKER-05", C::recovery, client, "conn",
        "A put that was answered with an error is not sent again by itself; one that a kept "
        "connection swallowed, closed before a byte of the response, may be sent once "
        "more."},
    Requirement{"C-BREAKER-06", C::recovery, inferred, "conn, mp",
                "A kept connection that the daemon has closed meanwhile costs no operation: what "
                "is sent next goes over a new one."},

    Requirement{"C-WIRE-01", C::wire, client, "conn, mp",
                "Whatever a key is made of, the daemon decodes it to that key, once."},
    Requirement{"C-WIRE-02", C::wire, client, "conn, mp",
                "In a target / is sent as %2F, % as %25, + as %2B, a space as %20, and other bytes "
                "in upper-case hexadecimal."},
    Requirement{
        "C-WIRE-03", C::wire, client, "conn, mp",
        "A lease is asked for by POST with timeout_ms, a whole number, and ttl_s, a decimal "
        "one, and with Content-Length: 0."},
    Requirement{"C-WIRE-04", C::wire, client, "conn, mp",
                "A put has a Content-Length and the type application/octet-stream, and neither "
                "Transfer-Encoding nor Expect."},
    Requirement{"C-WIRE-05", C::wire, client, "conn, mp",
                "User-Agent is LMCache-SageMaker-HyperPod/1.0."},
    Requirement{"C-WIRE-06", C::wire, client, "doc, conn",
                "With save_chunk_meta true LMCache's header stands in front of the payload, byte "
                "for byte, and is read back."},
    Requirement{"C-WIRE-07", C::wire, client, "doc",
                "With save_chunk_meta false the object is the payload alone."},
    Requirement{"C-WIRE-08", C::wire, client, "doc",
                "A body is sent in pieces of at most put_stream_chunk_bytes."},
    Requirement{"C-WIRE-09", C::wire, client, "doc",
                "Objects go to the configured bucket, and to lmcache by default."},
    Requirement{"C-WIRE-10", C::wire, client, "conn", "A timeout_ms below 100 is raised to 100."},

    Requirement{"C-BATCH-01", C::batches, client, "mp",
                "In a batch of gets a key that is not there, or that fails, spoils no other, and "
                "each key gets its own bytes."},
    Requirement{"C-BATCH-02", C::batches, client, "mp",
                "In a batch of puts a key that is refused spoils no other."},
    Requirement{"C-BATCH-03", C::batches, client, "conn, mp",
                "The prefix of keys that are there is counted right."},
    Requirement{"C-BATCH-04", C::batches, inferred, "conn, mp",
                "A look-up of many keys costs less than the sum of its round trips."},
};

}  // namespace

std::span<const Requirement> client_catalogue() { return client_requirements; }

}  // namespace hyperpod::conformance::requirements
