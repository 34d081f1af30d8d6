# SPDX-License-Identifier: Apache-2.0
"""What the reference daemon keeps: the segment, objects in blocks, leases and held requests.

One event loop uses all of it; nothing here waits. Time is the loop's: a loop whose clock is moved
by hand moves TTLs as well. Whatever departs from the plain rules stands behind the name of its
switch (see switches.py).
"""

import asyncio
import bisect
import hashlib
import heapq
import math
import mmap
import os
import random
import re
import secrets
import unicodedata
import urllib.parse
import uuid
import zlib
from collections import OrderedDict

DEFAULT_BLOCK = 16 << 10

# Defects that remember what was evicted.
GHOSTLY = {"evicted-still-granted", "evicted-answers-409", "evicted-returns-at-its-old-place"}


class Segment:
    """A shared-memory object of this process's making, reserved in full."""

    def __init__(self, name, capacity, mode=0o600, extra=0):
        self.path = "/dev/shm/" + name
        self.capacity = capacity
        # O_EXCL: a segment that is there belongs to somebody else.
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        try:
            os.fchmod(descriptor, mode)
            os.posix_fallocate(descriptor, 0, capacity + extra)
            self.map = mmap.mmap(descriptor, capacity)
            self.identity = self._identity(os.fstat(descriptor))
        except BaseException:
            os.unlink(self.path)
            raise
        finally:
            os.close(descriptor)
        self.bytes = memoryview(self.map)

    @staticmethod
    def _identity(stat):
        return stat.st_dev, stat.st_ino

    def is_named(self):
        """Whether the name still leads to this segment."""
        try:
            return self._identity(os.stat(self.path)) == self.identity
        except FileNotFoundError:
            return False

    def close(self):
        if self.is_named():
            os.unlink(self.path)
        self.bytes.release()
        self.map.close()


class Stored:
    """An object, or one on its way: where its bytes are."""

    def __init__(self, name, size, blocks, fragments):
        self.name = name
        self.size = size
        self.blocks = blocks
        self.fragments = fragments
        self.pins = 0
        self.leases = {}  # Those alive, by number, oldest first.
        self.first_leased = None
        self.told = None  # Other fragments that a defect tells.
        self.released = set()  # Ids, for a defect.
        self.connection = None  # Over which it was stored, for defects.
        self.chosen = False  # To give way when a PUT ends, for a defect.
        self.since = 0.0  # When it was stored.


class Lease:
    def __init__(self, number, id, stored, ttl, expires, connection):
        self.number = number
        self.id = id
        self.stored = stored
        self.ttl = ttl
        self.expires = expires
        self.connection = connection
        self.pinned = False
        self.ended = False
        self.timer = None


class Waiter:
    """A held request: its future becomes a Lease, or None where the hold ends early."""

    def __init__(self, name, ttl, connection, future, arrived):
        self.name = name
        self.ttl = ttl
        self.connection = connection
        self.future = future
        self.arrived = arrived
        self.ended = False


class Upload:
    """A PUT under way: room is taken, and filled as pieces arrive."""

    def __init__(self, store, stored):
        self.store = store
        self.stored = stored
        self.received = 0
        self.pieces = 0
        self.began = store.loop.time()
        self.robbed = False
        self.victims, self.left = [], []  # What gives way at its end, and the room that it leaves, for a defect.
        self.whole = 0  # The bytes of head and body, for a defect.
        self._fragment = 0
        self._at = 0  # Within that fragment.
        self.done = False

    def write(self, piece):
        self.received += len(piece)
        self.pieces += 1
        piece = memoryview(piece)
        if "large-concurrent-bodies-crossed" in self.store.on and self.stored.size > 1 << 20:
            shared = self.store.scratch
            shared.extend(bytes(max(0, self.stored.size - len(shared))))
            shared[self.received - len(piece) : self.received] = piece
            if self.received < self.stored.size:
                return
            piece = memoryview(bytes(shared[: self.stored.size]))
        while piece:
            offset, length = self.stored.fragments[self._fragment]
            size = min(length - self._at, len(piece))
            start = offset + self._at
            self.store.segment.bytes[start : start + size] = piece[:size]
            piece = piece[size:]
            self._at += size
            if self._at == length:
                self._fragment += 1
                self._at = 0


class Store:
    def __init__(self, loop, segment, switches=frozenset(), block=DEFAULT_BLOCK):
        self.loop = loop
        self.segment = segment
        self.on = switches
        if "blocks-of-1mib" in switches:
            block = 1 << 20
        elif "blocks-of-4k" in switches:
            block = 4 << 10
        self.block = block
        self.header = 64 if "objects-behind-headers" in switches else 0  # Bytes before each object.
        self.objects = OrderedDict()  # By name, the one used longest ago first.
        self.leases = {}  # Those alive, by id.
        self.waiters = {}  # Lists by name.
        self.buckets = {}
        self.uploads = {}  # How many are under way, by name.
        self.random = random.Random(20)
        self.granted = 0
        count = segment.capacity // block
        if "a-tenth-reserved" in switches:
            count -= count // 10
        self.free = list(range(count))
        if "first-mib-reserved" in switches:
            self.free = self.free[(1 << 20) // block :]
        self.blocks_in_all = len(self.free)
        if "scattered" in switches:
            self.random.shuffle(self.free)
        # For defects.
        self.ghosts = {}  # Evicted objects, by name.
        self.shelf = {}  # Bytes of evicted objects that can be had back, by name.
        self.refused = set()  # Names that found no room.
        self.remembered = set()  # Names of before a restart.
        self.old_ids = set()
        self.last_released = None
        self.last_expired = None
        self.slot = None  # The block of all tiny objects.
        self.missed_names = set()
        self.missed_at = {}
        self.missed_under_way = set()
        self.cut_short = 0  # How many PUTs were.
        self.scratch = bytearray()
        self.newest = None
        self.last_put = 0
        # For variations.
        self.next_block = 0
        self.users = {}  # How many objects share a block, where more than one does.
        self.by_digest = {}

    # Names.

    def canonical(self, bucket, key):
        """The name under which an object is kept."""
        on = self.on
        for switch, rule in NAME_RULES.items():
            if switch in on:
                bucket, key = rule(bucket, key)
        if "buckets-limited-to-64" in on:
            number = self.buckets.setdefault(bucket, len(self.buckets))
            bucket = b"%d" % min(number, 63)
        if "buckets-limited-to-1000" in on:
            number = self.buckets.setdefault(bucket, len(self.buckets))
            bucket = b"%d" % min(number, 999)
        return bucket, key

    # Room.

    def _take(self, count):
        """`count` free blocks, or None. What nobody leases gives way."""
        if count > self.blocks_in_all:
            return None
        if "large-puts-ignore-pins" in self.on and count > self.blocks_in_all // 2:
            for stored in self.objects.values():
                stored.pins = 0
        if not self._has(count) and not self._could_have(count):
            return None
        if "evict-ahead" in self.on:
            while len(self.free) < count + self.blocks_in_all // 5 and self._evict():
                pass
        if "stored-and-dropped-when-full" not in self.on:
            while not self._has(count):
                if not self._evict():
                    return None
        elif not self._has(count):
            return None
        if "contiguous" in self.on:
            start = self._run(count)
            taken = list(range(start, start + count))
            self.free = [block for block in self.free if not start <= block < start + count]
        elif "scattered" in self.on:
            taken = [self.free.pop() for _ in range(count)]
        elif "next-fit" in self.on:
            self.free.sort()
            first = bisect.bisect_left(self.free, self.next_block)
            taken = (self.free[first:] + self.free[:first])[:count]
            self.next_block = taken[-1] + 1
            self.free = sorted(set(self.free).difference(taken))
        else:
            taken = [heapq.heappop(self.free) for _ in range(count)]
            if "backwards" in self.on:
                taken.reverse()
        return taken

    def _could_have(self, count):
        """Whether so many blocks would be free if all gave way that no lease pins: otherwise none does."""
        self._end_on_demand()
        if self.on & {"leased-objects-evicted-at-last", "slow-put-loses-its-room"}:
            return True
        unpinned = sum(len(stored.blocks) for stored in self.objects.values() if stored.pins == 0)
        return len(self.free) + unpinned >= count

    def _has(self, count):
        if "contiguous" in self.on:
            return self._run(count) is not None
        return len(self.free) >= count

    def _run(self, count):
        """Where `count` free blocks stand in a row, or None."""
        start = length = 0
        for block in sorted(self.free):
            if length and block == start + length:
                length += 1
            else:
                start, length = block, 1
            if length == count:
                return start
        return None

    def _give_back(self, blocks):
        if self.users and "shared-room-freed-with-the-first" not in self.on:
            blocks = [block for block in blocks if not self._has_other_user(block)]
        if "freed-room-scrubbed" in self.on:
            for block in blocks:
                self.segment.bytes[block * self.block : (block + 1) * self.block] = bytes(self.block)
        if "scattered" in self.on:
            self.free.extend(blocks)
            self.random.shuffle(self.free)
        elif "contiguous" in self.on:
            self.free.extend(blocks)
        else:
            for block in blocks:
                heapq.heappush(self.free, block)

    def _has_other_user(self, block):
        """Takes one object from those that share a block. False if it was the only one."""
        if block not in self.users:
            return False
        self.users[block] -= 1
        if self.users[block] == 1:
            del self.users[block]
        return True

    def _share(self, stored):
        """Lets an object lie where another of the same bytes lies."""
        digest = hashlib.sha256(self.bytes_of(stored)).digest()
        other = self.objects.get(self.by_digest.get(digest))
        self.by_digest[digest] = stored.name
        if other is None or other.size != stored.size or self.bytes_of(other) != self.bytes_of(stored):
            return
        self._give_back(stored.blocks)
        stored.blocks, stored.fragments = other.blocks, other.fragments
        for block in stored.blocks:
            self.users[block] = self.users.get(block, 1) + 1

    def _end_on_demand(self):
        """Where leases end when somebody needs their room."""
        if "expiry-on-demand" in self.on:
            for lease in [lease for lease in self.leases.values() if self.loop.time() >= lease.expires]:
                self._end(lease)

    def _evict(self):
        """Drops one object that no lease pins; False if there is none."""
        on = self.on
        self._end_on_demand()
        if "full-cache-refuses" in on:
            return False
        if "slow-put-loses-its-room" in on and self._rob_a_put():
            return True
        free = (stored for stored in self.objects.values() if stored.pins == 0)
        if on & {"evict-at-random", "evict-largest", "evict-all"}:
            free = list(free)
            if not free:
                return False
            if "evict-all" in on:
                for stored in free:
                    self._drop(stored)
                return True
            if "evict-at-random" in on:
                victim = self.random.choice(free)
            else:
                victim = max(free, key=lambda stored: stored.size)
        else:
            victim = next(free, None)
        if victim is None and "leased-objects-evicted-at-last" in on:
            victim = next(iter(self.objects.values()), None)
            if victim is not None:
                victim.pins = 0
        if victim is None:
            return False
        if on & GHOSTLY:
            self.ghosts[victim.name] = victim
        if "eviction-loses-room" in on:
            victim.blocks = victim.blocks[: len(victim.blocks) // 2]
        if on & {"evicted-objects-return", "large-objects-return-damaged"}:
            self.shelf[victim.name] = self.bytes_of(victim)
        self._drop(victim)
        if "evicted-blocks-freed-twice" in on:
            self._give_back(victim.blocks)
        if "compaction-moves-leased-objects" in on:
            self._compact()
        return True

    def _take_back(self, name):
        """Brings an evicted object back from the slower memory that it went to."""
        body = self.shelf[name]
        stored = self._place(name, len(body))
        if stored is None:
            return None
        del self.shelf[name]
        if "large-objects-return-damaged" in self.on and len(body) > 1 << 20:
            body = body[: len(body) - (1 << 20)] + bytes(1 << 20)
        self._fill(stored, body)
        self.objects[name] = stored
        return stored

    def _place_early(self, name, size):
        """As _place, but what gives way does so when the body has come, leased by then or not."""
        count = -(-size // self.block)
        victims, blocks = [], []
        for other in self.objects.values():
            if other.pins == 0 and not other.chosen and len(self.free) + len(blocks) < count:
                victims.append(other)
                blocks += other.blocks
        if len(self.free) + len(blocks) < count:
            return None, [], []
        self._give_back(blocks)
        for other in victims:
            other.chosen = True
        stored = self._place(name, size)
        left = sorted(set(blocks).difference(stored.blocks))
        self.free = sorted(set(self.free).difference(left))
        return stored, victims, left

    def _compact(self):
        """Moves a leased object into room that has become free, its leases notwithstanding."""
        leased = next((stored for stored in self.objects.values() if stored.pins), None)
        copy = leased and self._copy(leased)
        if copy:
            self._give_back(leased.blocks)
            leased.blocks, leased.fragments = copy.blocks, copy.fragments

    def _rob_a_put(self):
        for upload in [upload for uploads in self.uploads.values() for upload in uploads]:
            if upload.received and not upload.robbed and self.loop.time() - upload.began > 0.1:
                upload.robbed = True
                self._give_back(upload.stored.blocks)
                return True
        return False

    def _drop(self, stored):
        """Forgets an object. Leased room comes back with the last pin."""
        if self.objects.get(stored.name) is stored:
            del self.objects[stored.name]
        if stored.pins == 0:
            self._give_back(stored.blocks)

    def _fragments(self, blocks, size):
        """Where `size` bytes lie in these blocks, in order."""
        on = self.on
        fragments = []
        left = size
        header = self.header
        for block in blocks:
            length = min(left, self.block - header)
            left -= length
            offset = block * self.block + header
            header = 0
            if not length:
                break
            follows = fragments and sum(fragments[-1]) == offset
            if follows and "unmerged-fragments" not in on:
                fragments[-1] = (fragments[-1][0], fragments[-1][1] + length)
            else:
                fragments.append((offset, length))
        if "short-first-fragment" in on and fragments[0][1] > 7:
            offset, length = fragments[0]
            fragments[:1] = [(offset, 7), (offset + 7, length - 7)]
        if "fragments-of-1000-bytes" in on:
            fragments = [
                (offset + at, min(1000, length - at))
                for offset, length in fragments
                for at in range(0, length, 1000)
            ]
        return fragments

    def _place(self, name, size):
        """Room for an object, or None."""
        if "tiny-objects-share-a-slot" in self.on and size < 16:
            self.slot = self.slot or self._take(1)
            return self.slot and Stored(name, size, [], self._fragments(self.slot, size))
        count = -(-(size + self.header) // self.block)
        if "rooms-of-powers-of-two" in self.on:
            count = min(1 << (count - 1).bit_length(), max(count, self.blocks_in_all))
        blocks = self._take(count)
        return blocks and Stored(name, size, blocks, self._fragments(blocks, size))

    def bytes_of(self, stored):
        return b"".join(self.segment.bytes[o : o + n] for o, n in stored.fragments)

    def _fill(self, stored, body, start=0):
        """Writes the bytes of `body` from `start` on."""
        at = 0
        for offset, length in stored.fragments:
            first, last = max(at, start), min(at + length, len(body))
            if first < last:
                self.segment.bytes[offset + first - at : offset + last - at] = body[first:last]
            at += length

    def overwrite(self, upload, body):
        """Writes over what has arrived of a body."""
        self._fill(upload.stored, body[: upload.stored.size])

    # PUT.

    def taken(self, name):
        """Whether a PUT of this name is a conflict."""
        on = self.on
        return bool(
            (name in self.objects and not self._is_replaceable(self.objects[name]))
            or name in self.shelf
            or (on & {"evicted-answers-409", "aborted-put-blocks-its-key"} and name in self.ghosts)
            or ("refused-put-blocks-its-key" in on and name in self.refused)
            or ("old-keys-answer-409-after-restart" in on and name in self.remembered)
            or ("awaited-key-answers-409" in on and bool(self.waiters.get(name)))
            or ("first-put-to-begin-wins" in on and bool(self.uploads.get(name)))
        )

    def _is_replaceable(self, stored):
        """Whether a defect lets a second PUT replace this object."""
        return "quick-second-put-replaces" in self.on and self.loop.time() < stored.since + 0.2

    def remove(self, name):
        """For a defect."""
        if name in self.objects:
            self._drop(self.objects[name])

    def begin(self, name, size, connection=None):
        """An Upload with room taken, or None where leases pin the rest."""
        if "racing-puts-mixed" in self.on and self.uploads.get(name):
            other = next(upload for upload in self.uploads[name])
            if other.stored.size >= size:
                upload = Upload(self, other.stored)
                self.uploads[name].append(upload)
                return upload
        self.missed_under_way.discard(name)
        if "upload-slots-leak-at-aborts" in self.on and self.cut_short >= 64:
            return None
        victims, left = [], []
        if "victims-chosen-at-the-head" in self.on and len(self.free) < -(-size // self.block):
            stored, victims, left = self._place_early(name, size)
        else:
            stored = self._place(name, size)
        if stored is None and "refused-put-blocks-its-key" in self.on:
            self.refused.add(name)
        if stored is None and "pins-end-when-room-runs-out" in self.on:
            for lease in self.leases.values():
                self._unpin(lease)
        if stored is None and "stored-and-dropped-when-full" in self.on:
            while (stored := self._place_by_force(name, size)) is None:
                if not self._evict():
                    return None
        if stored is None:
            return None
        stored.connection = connection
        upload = Upload(self, stored)
        upload.victims, upload.left = victims, left
        self.uploads.setdefault(name, []).append(upload)
        large = "large-body-visible-while-arriving" in self.on and size > 1 << 20
        if "object-visible-at-its-head" in self.on or large:
            self.objects[name] = stored
        if "woken-at-the-head-of-the-put" in self.on:
            self._wake(stored)
        return upload

    def _place_by_force(self, name, size):
        """As _place, but the object is dropped at once when it is stored."""
        count = -(-size // self.block)
        if len(self.free) < count:
            return None
        blocks = [heapq.heappop(self.free) for _ in range(count)]
        stored = Stored(name, size, blocks, self._fragments(blocks, size))
        stored.told = "dropped"
        return stored

    def _ended_upload(self, upload):
        upload.done = True
        for other in upload.victims:
            if self.objects.get(other.name) is other:
                del self.objects[other.name]
            other.blocks = []
        self._give_back(upload.left)
        uploads = self.uploads.get(upload.stored.name, [])
        if upload in uploads:
            uploads.remove(upload)
        if not uploads:
            self.uploads.pop(upload.stored.name, None)

    def finish(self, upload):
        """Makes a complete object visible: True, or False if another was first."""
        on = self.on
        stored, name = upload.stored, upload.stored.name
        self._ended_upload(upload)
        other = self.objects.get(name, stored)
        if other is not stored and self._is_replaceable(other):
            self._drop(other)
        elif other is not stored:
            if "racing-loser-keeps-room" not in on:
                self._give_back(stored.blocks)
            return "racing-puts-both-200" in on
        if "racing-puts-mixed" in on and self.objects.get(name) is stored:
            return False
        self._damage(upload)
        if "equal-body-conflicts" in on and self._has_twin(stored):
            self._give_back(stored.blocks)
            return False
        if stored.told == "dropped":
            stored.told = None
            self._give_back(stored.blocks)
            return True
        ghost = self.ghosts.pop(name, None)
        if "evicted-returns-at-its-old-place" in on and ghost is not None:
            stored.told = ghost.fragments
        if "equal-bodies-share-room" in on:
            self._share(stored)
        if "objects-lost-now-and-then" in on and random.random() < 0.02:
            self._give_back(stored.blocks)
            return True
        stored.since = self.loop.time()
        had_waiters = bool(self.waiters.get(name))
        if "visible-100ms-after-its-200" in on and not had_waiters:
            self.loop.call_later(0.1, self.objects.__setitem__, name, stored)
            return True
        self.objects[name] = stored
        if "objects-expire-after-4s" in on:
            self.loop.call_later(4, self._forget, stored)
        self.newest = stored
        self.last_put = self.loop.time()
        if "woken-bytes-late" in on and had_waiters:
            self._fill_late(stored, 0.2)
        if "visible-late-over-other-connections" in on:
            self.loop.call_later(0.5, self._wake, stored)
        else:
            self._wake(stored)
        if "hold-ends-at-any-put" in on:
            for other in [other for other in self.waiters if other[0] == name[0]]:
                self.end_holds(other)
        if "woken-by-another-bucket" in on:
            for other in [other for other in self.waiters if other[1] == name[1]]:
                self._wake(stored, other)
        if "awaited-key-forgotten" in on and had_waiters:
            self._drop(stored)
        if "objects-limited-to-500" in on:
            while len(self.objects) > 500:
                self._drop(next(iter(self.objects.values())))
        if "moved-at-each-put" in on:
            still = [other for other in self.objects.values() if not other.pins]
            if still:
                self._moved(self.random.choice(still))
        return True

    def _forget(self, stored):
        """For a defect: drops an object, when nobody leases it."""
        if self.objects.get(stored.name) is not stored:
            return
        if stored.pins:
            self.loop.call_later(1, self._forget, stored)
        else:
            self._drop(stored)

    def _has_twin(self, stored):
        same_size = (other for other in self.objects.values() if other.size == stored.size)
        return any(self.bytes_of(other) == self.bytes_of(stored) for other in same_size)

    def _damage(self, upload):
        """The defects of sizes, done to the bytes that have arrived."""
        on, stored, size = self.on, upload.stored, upload.stored.size
        last = (
            ("bytes-damaged-now-and-then" in on and random.random() < 0.02)
            or ("last-byte-lost-at-64k-multiples" in on and size % 65536 == 0)
            or ("last-byte-lost-above-64k-multiples" in on and size % 65536 == 1)
            or ("last-byte-lost-below-64k-multiples" in on and size % 65536 == 65535)
            or ("last-byte-lost-at-powers-of-two" in on and size > 256 and size & (size - 1) == 0)
            or ("last-byte-lost-at-1mib-multiples" in on and size % (1 << 20) == 0)
            or ("last-byte-lost-where-a-buffer-ends" in on and upload.whole % 4096 == 0)
        )
        if last:
            offset, length = stored.fragments[-1]
            self.segment.bytes[offset + length - 1] ^= 0xFF
        for switch, limit in (("3mib", 3), ("16mib", 16), ("64mib", 64)):
            if "bytes-lost-beyond-" + switch in on and size > limit << 20:
                self._fill(stored, bytes(size), limit << 20)
        if "same-beginning-shares-bytes" in on:
            begins = self.bytes_of(stored)[:64]
            for other in self.objects.values():
                if other.size == size and self.bytes_of(other)[:64] == begins:
                    self._fill(stored, self.bytes_of(other))
        if "line-ends-changed" in on:
            self._fill(stored, self.bytes_of(stored).replace(b"\r\n", b"\n\n"))
        if "trailing-zeros-dropped" in on:
            size = max(1, len(self.bytes_of(stored).rstrip(b"\0")))
            stored.told = self._fragments(stored.blocks, size)
        if "end-of-large-bodies-late" in on and size > 1 << 20:
            self._fill_late(stored, 0.3)

    def _fill_late(self, stored, seconds):
        """Takes the second half of an object's bytes away for this time."""
        body = self.bytes_of(stored)
        self._fill(stored, bytes(stored.size), stored.size // 2)
        self.loop.call_later(seconds, self._fill, stored, body, stored.size // 2)

    def abort(self, upload):
        """Ends a PUT that was cut short: nothing stays."""
        if upload.done:
            return
        on = self.on
        stored, name = upload.stored, upload.stored.name
        self._ended_upload(upload)
        if "hold-ends-at-an-aborted-put" in on:
            self.end_holds(name)
        if "waiters-lost-at-an-aborted-put" in on:
            self.waiters.pop(name, None)
        self.cut_short += 1
        large = "large-aborted-put-stored" in on and stored.size > 1 << 20
        if ("aborted-put-stored" in on or large) and upload.received and name not in self.objects:
            stored.size = upload.received
            stored.fragments = self._fragments(stored.blocks, stored.size)
            self.objects[name] = stored
            self._wake(stored)
            return
        if "aborted-put-blocks-its-key" in on:
            self.ghosts[name] = stored
        if "aborted-put-keeps-its-room" in on:
            return
        if "racing-abort-removes-the-winner" in on and name in self.objects:
            self.unpin_all(self.objects[name])
            self._drop(self.objects[name])
        if self.objects.get(name) is stored:
            self._drop(stored)
        elif not (self.uploads.get(name) and "racing-puts-mixed" in on):
            self._give_back(stored.blocks)

    def aborted_conflict(self, name):
        """A PUT of a stored key was cut short, which changes nothing."""
        stored = self.objects.get(name)
        if stored is None:
            return
        if "pin-ends-at-an-aborted-put" in self.on:
            self.unpin_all(stored)
        if "aborted-put-removes-the-object" in self.on:
            self.unpin_all(stored)
            self._drop(stored)

    def conflict(self, name, body_size, body):
        """A PUT of a stored key has been read, which changes nothing. `body` is a defect's."""
        on = self.on
        stored = self.objects.get(name)
        if stored is None:
            return
        if "pin-ends-at-409" in on:
            self.unpin_all(stored)
        if on & {"conflict-evicts-itself", "room-taken-before-the-conflict"}:
            stored.pins += "room-taken-before-the-conflict" in on
            room = self._take(-(-body_size // self.block))
            stored.pins -= "room-taken-before-the-conflict" in on
            self._give_back(room or [])
        if "conflict-keeps-room" in on:
            self._take(-(-body_size // self.block))
        replaces = (
            ("longer-second-body-replaces" in on and body_size > stored.size)
            or ("shorter-second-body-replaces" in on and body_size < stored.size)
            or ("equal-second-body-replaces" in on and body_size == stored.size)
            or ("second-body-while-leased-replaces" in on and stored.pins > 0)
            or ("large-second-body-replaces" in on and body_size > 1 << 20)
        )
        if replaces:
            self._fill(stored, body[: stored.size])

    # Leases.

    def find(self, name, connection=None):
        """The object of this name, or None."""
        stored = self.objects.get(name)
        if stored is None and name in self.shelf:
            stored = self._take_back(name)
        if "visible-late-over-other-connections" in self.on and stored is not None:
            if stored.connection is not connection and self.loop.time() < stored.since + 0.5:
                return None
        if name in self.missed_under_way:
            return None
        if "miss-remembered-for-a-second" in self.on and self.loop.time() < self.missed_at.get(name, 0) + 1:
            return None
        if stored is None and "key-star-matches" in self.on and b"*" in name[1]:
            pattern = b".*".join(re.escape(part) for part in name[1].split(b"*"))
            same = (other for other in self.objects if other[0] == name[0])
            stored = self.objects.get(next(filter(lambda other: re.fullmatch(pattern, other[1]), same), None))
        if stored is None and "evicted-still-granted" in self.on:
            stored = self.ghosts.get(name)
        if stored is None and "old-keys-after-restart" in self.on and name in self.remembered:
            stored = Stored(name, 100, [0], [(0, 100)])
        return stored

    def acquire(self, name, ttl, connection):
        """A lease on the object of this name, or None."""
        stored = self.find(name, connection)
        if stored is None:
            return None
        if self.objects.get(name) is stored:
            if "evict-first-in" not in self.on:
                self.objects.move_to_end(name)
            if "moved-between-leases" in self.on and stored.pins == 0:
                stored = self._moved(stored)
            elif "moved-under-a-lease" in self.on and stored.pins > 0:
                stored = self._moved(stored)
        return self._grant(stored, ttl, connection)

    def _moved(self, stored):
        """The object at another place, where there is room."""
        copy = self._copy(stored)
        if copy is None:
            return stored
        self._give_back(stored.blocks)
        self.objects[stored.name] = copy
        return copy

    def _copy(self, stored):
        """The same bytes at another place, or None if there is no room without eviction."""
        if not self._has(len(stored.blocks)):
            return None
        copy = self._place(stored.name, stored.size)
        self._fill(copy, self.bytes_of(stored))
        return copy

    def _new_id(self):
        on = self.on
        if "lease-id-reused-after-release" in on and self.last_released is not None:
            id, self.last_released = self.last_released, None
            return id
        if "lease-id-reused-after-expiry" in on and self.last_expired is not None:
            id, self.last_expired = self.last_expired, None
            return id
        if "ids-start-anew-at-restart" in on:
            return "lease-%d" % self.granted
        if "lease-ids-repeat-after-256" in on:
            return "lease-%d" % (self.granted % 256)
        if "ids-counted" in on:
            return str(self.granted)
        if "ids-of-200-characters" in on:
            return secrets.token_hex(100)
        if "ids-of-2000-characters" in on:
            return secrets.token_hex(1000)
        if "ids-that-differ-in-case" in on:
            return "".join("xX"[self.granted >> bit & 1] for bit in range(32))
        if "ids-like-paths" in on:
            return ("release", "leases")[self.granted & 1] + ("-%d" % (self.granted // 2) if self.granted > 2 else "")
        if "lease-ids-by-the-clock" in on:
            return "t%d" % (self.loop.time() * 100)
        if "ids-of-dashes" in on:
            return "-_-" + secrets.token_urlsafe(12)
        if "ids-as-uuid" in on:
            return str(uuid.uuid4())
        if "grant-id-with-slash" in on:
            return "a/" + secrets.token_hex(8)
        if "grant-id-with-percent" in on:
            return "%41" + secrets.token_hex(8)
        if "grant-id-as-number" in on:
            return str(secrets.randbits(40))
        return secrets.token_urlsafe(12)

    def _grant(self, stored, ttl, connection, since=None):
        on = self.on
        self.granted += 1
        now = self.loop.time()
        if "copy-for-each-lease" in on:
            stored = self._copy(stored) or stored
        if stored.first_leased is None:
            stored.first_leased = now
        if "ttl-capped-at-5s" in on:
            ttl = min(ttl, 5.0)
        if "ttl-in-milliseconds" in on:
            ttl /= 1000
        if "leases-end-400ms-early" in on:
            ttl -= min(0.4, ttl * 0.4)
        if "ttl-capped-at-10s" in on:
            ttl = min(ttl, 10.0)
        if "ttl-of-a-second-at-least" in on:
            ttl = max(ttl, 1.0)
        if "ttl-rounded-up" in on:
            ttl = float(math.ceil(ttl))
        if "ttl-wraps-after-an-hour" in on:
            ttl %= 3600
        begins = now if since is None else since
        if "expiry-cut-to-whole-seconds" in on:
            begins = math.floor(begins + ttl) - ttl
        if "ttl-starts-at-the-objects-first-lease" in on:
            begins = stored.first_leased
        if "ttl-counts-from-the-connection" in on:
            begins = connection.began
        lease = Lease(self.granted, self._new_id(), stored, ttl, begins + ttl, connection)
        self.leases[lease.id] = lease
        self._pin(lease)
        stored.leases[lease.number] = lease
        expires = lease.expires
        if "expiry-swept-each-second" in on:
            expires = float(int(expires) + 1)
        elif "leases-live-2s-longer" in on:
            expires += 2
        if "expiry-on-demand" not in on:
            lease.timer = self.loop.call_at(expires, self._expire, lease)
        self._pin_defects(lease)
        return lease

    def _pin(self, lease):
        if "pin-missing-on-second-lease" in self.on and lease.stored.pins > 0:
            return
        lease.pinned = True
        lease.stored.pins += 1
        if "pins-saturate-at-255" in self.on:
            lease.stored.pins = min(lease.stored.pins, 255)
        if "pins-counted-in-a-byte" in self.on:
            lease.stored.pins %= 256

    def _unpin(self, lease):
        if not lease.pinned:
            return
        lease.pinned = False
        stored = lease.stored
        if stored.pins == 0:
            return  # A defect has taken it before.
        if stored.pins == 255 and "pins-saturate-at-255" in self.on:
            return  # How many there are is not known any longer.
        stored.pins -= 1
        if stored.pins == 0 and self.objects.get(stored.name) is not stored:
            if self.ghosts.get(stored.name) is not stored:
                self._give_back(stored.blocks)

    def unpin_all(self, stored):
        for lease in stored.leases.values():
            self._unpin(lease)

    def _pin_defects(self, lease):
        on, stored, loop = self.on, lease.stored, self.loop
        if "one-pin-per-connection" in on:
            for other in self.leases.values():
                if other is not lease and other.connection is lease.connection:
                    self._unpin(other)
        if "pin-ends-after-a-second" in on:
            loop.call_later(1, self._unpin, lease)
        if "pin-ends-at-half-the-ttl" in on:
            loop.call_later(lease.ttl / 2, self._unpin, lease)
        if "pin-ends-at-nine-tenths" in on:
            loop.call_later(lease.ttl * 0.9, self._unpin, lease)
        if "small-objects-not-pinned" in on and stored.size < 4096:
            self._unpin(lease)
        if "pin-capped-at-5s" in on:
            loop.call_later(5, self._unpin, lease)
        if "later-lease-sets-the-expiry-of-all" in on:
            for other in stored.leases.values():
                if other.expires > lease.expires:
                    loop.call_at(lease.expires, self._unpin, other)
        if "pin-of-first-fragment-only" in on and len(stored.fragments) > 1:
            keep = -(-stored.fragments[0][1] // self.block)
            self._give_back(stored.blocks[keep:])
            stored.blocks = stored.blocks[:keep]
        if "pin-lost-beyond-64-leases" in on:
            pinned = [other for other in self.leases.values() if other.pinned]
            for other in pinned[:-64]:
                self._unpin(other)

    def _end(self, lease):
        """Ends a lease: its id is unknown from now on, and its pin gone."""
        if lease.ended:
            return
        lease.ended = True
        if lease.timer is not None and "released-lease-expires-again" not in self.on:
            lease.timer.cancel()
        if self.leases.get(lease.id) is lease:
            del self.leases[lease.id]
        lease.stored.leases.pop(lease.number, None)
        self._unpin(lease)

    def _expire(self, lease):
        on, stored = self.on, lease.stored
        if lease.ended:
            if "released-lease-expires-again" in on:
                self._steal_pin(stored)
            return
        if "expired-lease-pins" in on:
            lease.pinned = False
        if "pin-ends-with-the-shortest-lease" in on:
            self.unpin_all(stored)
        self.last_expired = lease.id
        self._end(lease)

    def _steal_pin(self, stored):
        other = next((lease for lease in stored.leases.values() if lease.pinned), None)
        if other is not None:
            self._unpin(other)

    def release(self, id, connection):
        """Whether there was a lease of this id. Its pin is gone then."""
        on = self.on
        lease = self.leases.get(id)
        if "ids-compared-without-case" in on:
            same = (other for other in self.leases.values() if other.id.lower() == id.lower())
            lease = next(same, None)
        if lease is None:
            if "unknown-release-ends-the-latest" in on:
                for other in list(self.leases.values())[-1:]:
                    self._unpin(other)
            if "pin-ends-with-double-release" in on and id in self.old_ids:
                stored = next((s for s in self.objects.values() if id in s.released), None)
                if stored is not None:
                    self._steal_pin(stored)
            return "old-leases-after-restart" in on and id in self.old_ids
        if "release-over-same-connection-only" in on and lease.connection is not connection:
            return False
        stored = lease.stored
        if "release-keeps-the-pin" in on:
            self._outlive(lease, lease.expires)
        if "releases-lost-now-and-then" in on and random.random() < 0.05:
            self._outlive(lease, lease.expires)
        if "release-ends-the-pin-late" in on:
            self._outlive(lease, self.loop.time() + 2)
        if "release-ends-the-oldest-lease" in on:
            lease = next(iter(stored.leases.values()))
        if "pin-ends-with-double-release" in on:
            self.old_ids.add(id)
            stored.released.add(id)
        if "release-ends-the-previous-pin-too" in on:
            for other in [other for other in self.leases.values() if other.number == lease.number - 1]:
                self._unpin(other)
        self._end(lease)
        if "release-crosses-buckets" in on:
            for other in self.objects.values():
                if other.name[1] == stored.name[1] and other is not stored:
                    self.unpin_all(other)
        if "room-freed-at-release" in on and stored.pins == 0 and self.objects.get(stored.name) is stored:
            self._give_back(stored.blocks)
            stored.blocks = []
        self.last_released = id
        if "pin-ends-with-first-release" in on:
            self.unpin_all(stored)
        return True

    def _outlive(self, lease, until):
        """Lets an ended lease's pin stay until then."""
        if lease.pinned:
            self._pin_until(lease.stored, until)

    def _pin_until(self, stored, until):
        """Pins an object for nobody."""
        ghost = Lease(0, "", stored, 0, until, None)
        self._pin(ghost)
        self.loop.call_at(until, self._unpin, ghost)

    def connection_ended(self, connection):
        if "pin-ends-with-connection" in self.on:
            for lease in self.leases.values():
                if lease.connection is connection:
                    self._unpin(lease)

    # Held requests.

    def hold(self, name, ttl, connection):
        if "second-waiter-ends-the-first" in self.on:
            self.end_holds(name)
        waiter = Waiter(name, ttl, connection, self.loop.create_future(), self.loop.time())
        self.waiters.setdefault(name, []).append(waiter)
        return waiter

    def missed(self, name):
        """Tells that a held request has ended as a miss."""
        if "second-wave-not-woken" in self.on:
            self.missed_names.add(name)
        if "miss-noted-while-put-under-way-stays" in self.on and self.uploads.get(name):
            self.missed_under_way.add(name)
        if "miss-remembered-for-a-second" in self.on:
            self.missed_at[name] = self.loop.time()

    def lacks_bucket(self, name):
        """Whether nothing is stored in a bucket."""
        return all(bucket != name for bucket, _ in self.objects)

    def large_under_way(self):
        return sum(upload.stored.size > 1 << 20 for uploads in self.uploads.values() for upload in uploads)

    def held(self):
        return sum(len(waiters) for waiters in self.waiters.values())

    def end_hold(self, waiter):
        """After a timeout, or when its client is gone. A lease granted meanwhile is the caller's."""
        waiter.ended = True
        waiters = self.waiters.get(waiter.name, [])
        if waiter in waiters:
            gone = waiter.connection.gone.done()
            at = waiters.index(waiter)
            waiters.remove(waiter)
            if ("abandoned-hold-takes-its-neighbour" if gone else "timed-out-hold-takes-its-neighbour") in self.on:
                del waiters[at : at + 1]
            if ("abandoned-hold-ends-the-others" if gone else "timed-out-hold-ends-the-others") in self.on:
                self.end_holds(waiter.name)
        if not waiters:
            self.waiters.pop(waiter.name, None)

    def end_holds(self, name):
        for waiter in self.waiters.pop(name, []):
            if not waiter.future.done():
                waiter.future.set_result(None)

    def _wake(self, stored, name=None):
        """Grants `stored` to those who wait for it, or for `name`."""
        on = self.on
        name = name or stored.name
        if "waiters-look-at-the-end" in on or "waiters-look-each-200ms" in on:
            return
        if "second-wave-not-woken" in on and name in self.missed_names:
            return
        if "large-put-wakes-nobody" in on and stored.size > 64 << 10:
            return
        waiters = self.waiters.pop(name, [])
        few = 1 if "one-waiter-woken" in on or "abandoned-hold-takes-the-grant" in on else len(waiters)
        if "waiters-woken-limited-to-100" in on:
            few = 100
        waiters, rest = waiters[:few], waiters[few:]
        if rest:
            self.waiters[name] = rest
        if "woken-by-own-worker-only" in on:
            strangers = [w for w in waiters if w.connection.worker != stored.connection.worker]
            waiters = [w for w in waiters if w not in strangers]
            if strangers:
                self.waiters[name] = strangers
        shared = None
        for turn, waiter in enumerate(waiters):
            if waiter.future.done():
                continue
            if "waiters-woken-20ms-apart" in on and turn:
                self.loop.call_later(0.02 * turn, self._wake_late, waiter, name)
                continue
            if "woken-with-the-newest-object" in on:
                self.loop.call_later(0.2, self._wake_with_newest, waiter)
                continue
            since = waiter.arrived if "ttl-from-arrival" in on else None
            lease = shared or self._grant(stored, waiter.ttl, waiter.connection, since)
            if "woken-requests-share-a-lease" in on:
                shared = lease
            if "pin-missing-when-woken" in on:
                self._unpin(lease)
            if "woken-lease-pins-twice" in on:
                self._pin_until(stored, lease.expires)
            waiter.future.set_result(lease)

    def _wake_late(self, waiter, name):
        if not waiter.future.done() and not waiter.ended:
            waiter.future.set_result(self.acquire(name, waiter.ttl, waiter.connection))

    def _wake_with_newest(self, waiter):
        if not waiter.future.done():
            waiter.future.set_result(self._grant(self.newest, waiter.ttl, waiter.connection))

    def _split(self, offset, length):
        """A fragment in up to three, split somewhere."""
        ends = sorted({self.random.randrange(1, length + 1) for _ in range(2)} | {length})
        return [(offset + start, end - start) for start, end in zip([0] + ends, ends)]

    # Restarts.

    def inherit(self, before):
        """What is kept of the store before a restart: the count of ids, and what defects keep."""
        if "ids-start-anew-at-restart" not in self.on:
            self.granted = before.granted
        self.remembered = set(before.objects) | before.remembered
        self.old_ids = set(before.leases) | before.old_ids

    def told(self, lease):
        """The fragments of a lease as they are told."""
        on, stored = self.on, lease.stored
        fragments = list(stored.told or stored.fragments)
        if "split-anew-for-each-lease" in on:
            fragments = [piece for fragment in fragments for piece in self._split(*fragment)]
        if on & {"offsets-wrap-at-16mib", "lengths-wrap-at-16mib"}:
            wraps = 16 << 20
            fragments = [
                (offset % wraps, length) if "offsets-wrap-at-16mib" in on else (offset, length % wraps)
                for offset, length in fragments
            ]
        if "fragments-beyond-64-untold" in on:
            fragments = fragments[:64]
        if "fragments-ordered-by-offset-beyond-16" in on and len(fragments) > 16:
            fragments.sort()
        if "wrap-told-as-one-fragment" in on:
            wraps = [at for at in range(1, len(fragments)) if fragments[at][0] == 0]
            for at in wraps:
                if sum(fragments[at - 1]) == self.segment.capacity:
                    before = fragments[at - 1]
                    fragments[at - 1 : at + 1] = [(before[0], before[1] + fragments[at][1])]
        if "fragments-overlap-at-multiples" in on and stored.size % self.block == 0:
            fragments[0] = (fragments[0][0], fragments[0][1] + self.block)
        if "offsets-from-fragment-to-fragment" in on:
            befores = [0] + [offset for offset, _ in fragments]
            fragments = [(abs(o - before), n) for before, (o, n) in zip(befores, fragments)]
        offset, length = fragments[-1]
        if "last-fragment-padded" in on:
            fragments[-1] = (offset, -(-length // 64) * 64)
        if "grant-with-empty-fragment" in on:
            fragments.append((offset, 0))
        if "short-objects-padded" in on and stored.size < 16:
            fragments[-1] = (offset, length + 16 - stored.size)
        return fragments


def _resolved(path):
    """A path without empty, "." and ".." segments, as file systems take it."""
    segments = []
    for segment in path.split(b"/"):
        if segment == b"..":
            segments = segments[:-1]
        elif segment != b".":
            segments.append(segment)
    return b"/".join(segments)


def _merged(path):
    while b"//" in path:
        path = path.replace(b"//", b"/")
    return path


def _as_text(rule):
    """A rule of text, for bytes."""
    return lambda raw: rule(raw.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def _of_key(rule):
    return lambda bucket, key: (bucket, rule(key))


def _of_bucket(rule):
    return lambda bucket, key: (rule(bucket), key)


def _fnv1a(key):
    value = 0x811C9DC5
    for c in key:
        value = ((value ^ c) * 0x01000193) & 0xFFFFFFFF
    return b"%08x" % value


def _joined(bucket, key):
    return b"", bucket + b"/" + key


# What defects do to a decoded name.
NAME_RULES = {
    "key-decoded-twice": _of_key(urllib.parse.unquote_to_bytes),
    "key-plus-as-space": _of_key(lambda key: key.replace(b"+", b" ")),
    "key-case-folded": _of_key(_as_text(str.casefold)),
    "key-double-slash-merged": _of_key(_merged),
    "key-dot-segments-resolved": _of_key(_resolved),
    "key-trailing-slash-dropped": _of_key(lambda key: key.rstrip(b"/")),
    "key-leading-slash-dropped": _of_key(lambda key: key.lstrip(b"/")),
    "key-trailing-dot-dropped": _of_key(lambda key: key.rstrip(b".")),
    "key-normalized": _of_key(_as_text(lambda key: unicodedata.normalize("NFC", key))),
    "key-cut-at-255": _of_key(lambda key: key[:255]),
    "key-cut-at-1024": _of_key(lambda key: key[:1024]),
    "key-backslash-as-slash": _of_key(lambda key: key.replace(b"\\", b"/")),
    "key-trimmed": _of_key(lambda key: key.strip(b" ")),
    "key-cut-at-nul": _of_key(lambda key: key.split(b"\0")[0]),
    "key-controls-dropped": _of_key(lambda key: bytes(c for c in key if c >= 32)),
    "key-cut-at-hash": _of_key(lambda key: key.split(b"#")[0]),
    "key-cut-at-question-mark": _of_key(lambda key: key.split(b"?")[0]),
    "key-cut-at-semicolon": _of_key(lambda key: key.split(b";")[0]),
    "key-tags-dropped": _of_key(lambda key: b"@".join(key.split(b"@")[:5])),
    "key-beyond-bmp-replaced": _of_key(
        _as_text(lambda key: "".join(c if ord(c) < 0x10000 else "\ufffd" for c in key))
    ),
    "key-hashed-to-16-bits": _of_key(lambda key: hashlib.sha256(key).digest()[:2]),
    "key-zero-width-dropped": _of_key(_as_text(lambda key: re.sub("[\u200b-\u200d\ufeff]", "", key))),
    "key-trimmed-as-latin-1": _of_key(lambda key: key.rstrip(b"\x85\xa0")),
    "key-hashed-with-crc32": _of_key(lambda key: b"%08x" % zlib.crc32(key)),
    "key-hashed-with-fnv1a": _of_key(_fnv1a),
    "key-middle-ignored": _of_key(lambda key: b"%d " % len(key) + key[:64] + key[-32:] if len(key) > 96 else key),
    "key-leading-zeros-dropped": _of_key(lambda key: re.sub(rb"(^|@)0+(?=[^@])", rb"\1", key)),
    "bucket-cut-at-63": _of_bucket(lambda bucket: bucket[:63]),
    "bucket-cut-at-slash": _of_bucket(lambda bucket: bucket.split(b"/")[0]),
    "bucket-trimmed": _of_bucket(lambda bucket: bucket.rstrip(b" .")),
    "bucket-case-folded": lambda bucket, key: (bucket.lower(), key),
    "bucket-ignored": lambda bucket, key: (b"", key),
    "bucket-and-key-joined": _joined,
}
