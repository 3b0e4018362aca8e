#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""aetherd's control socket: its replies, and how it treats hostile and broken clients."""
import errno
import fcntl
import os
import random
import re
import signal
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
import daemon_lib as lib  # noqa: E402
from daemon_lib import BEST_EFFORT, PUBLISHER, RELIABLE, Client, Daemon, Helper, await_true, closed, connect, refused  # noqa: E402


def access(fd):
    return fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE


def still_serves(daemon):
    with Client(daemon.path, "check") as client:
        assert client.create("check").type == lib.DONE


def case_roles():
    """each role gets the fds and the access that it needs, not more, and the geometry"""
    with Daemon() as daemon, Client(daemon.path) as client:
        assert client.welcome.pid == daemon.pid
        publisher = client.open(PUBLISHER, "a/b", max_message=100, capacity=64, start_seq=7)
        reliable = client.open(RELIABLE, "a/b")
        observer = client.open(BEST_EFFORT, "a/b")
        assert [access(fd) for fd in publisher.fds] == [os.O_RDWR, os.O_RDWR, os.O_RDONLY, os.O_RDONLY]
        assert [access(fd) for fd in reliable.fds] == [os.O_RDONLY, os.O_RDWR, os.O_RDWR, os.O_RDWR]
        assert [access(fd) for fd in observer.fds] == [os.O_RDONLY, os.O_RDWR, os.O_RDWR]
        for reply in (publisher, reliable, observer):
            assert (reply.max_message, reply.capacity, reply.slot_size, reply.start_seq) == (100, 64, 112, 7)
            assert os.fstat(reply.fds[0]).st_size == reply.log_bytes
            assert os.fstat(reply.fds[0]).st_blocks * 512 >= reply.log_bytes, "every byte is allocated"
            assert os.fstat(reply.fds[0]).st_mode & 0o777 == 0o600
        assert lib.read_word(publisher.fds[0], lib.CLAIM_OFF) == 7 << 16 | lib.CLAIM_NOBODY
        assert lib.read_word(publisher.fds[0], lib.POSITION_OFF) == 7
        assert len({publisher.grant_id, reliable.grant_id, observer.grant_id}) == 3
        for reply in (publisher, reliable, observer):
            assert client.give_back(reply.grant_id).type == lib.DONE
            refused(client.give_back(reply.grant_id), errno.ENOENT)
            reply.close()


def case_statistics():
    """each client has an object with a record for each handle, whose memory it gets when the handle is opened"""
    with Daemon(config="[limits]\ngrants = 50\n") as daemon, Client(daemon.path) as client, Client(daemon.path) as other:
        with open(daemon.object(f"stats-{client.id}"), "rb") as f:
            assert os.fstat(f.fileno()).st_mode & 0o777 == 0o600
            assert os.fstat(f.fileno()).st_size == lib.STATS_RECORDS_OFF + 50 * lib.STATS_RECORD_SIZE
            assert allocated(f.fileno()) == lib.STATS_RECORDS_OFF
            header = struct.unpack("<QIIQQ", os.pread(f.fileno(), 32, 0))
            assert header == (lib.STATS_MAGIC, 5, 0, client.id, 50), header
            replies = [client.open(role, "t") for role in (PUBLISHER, RELIABLE, BEST_EFFORT)]
            assert [reply.stats for reply in replies] == [0, 1, 2]
            assert allocated(f.fileno()) == lib.STATS_RECORDS_OFF + lib.STATS_PUBLISHER_SIZE + 2 * lib.STATS_RECORD_SIZE
            foreign = other.open(BEST_EFFORT, "t")
            assert foreign.stats == 0, "records are counted for each client"
            for reply in replies:
                assert os.path.samestat(os.fstat(reply.fds[1]), os.fstat(f.fileno()))
                identity = struct.unpack("<QQII", os.pread(f.fileno(), 24, stats_offset(reply)))
                assert identity == (reply.grant_id, reply.topic_id, reply.role, reply.record), identity
            os.pwrite(replies[1].fds[1], b"x" * (lib.STATS_RECORD_SIZE - 128), stats_offset(replies[1]) + 128)
            client.give_back(replies[1].grant_id)
            again = client.open(BEST_EFFORT, "u")
            assert again.stats == 1, "the lowest record that is free"
            assert os.pread(f.fileno(), lib.STATS_RECORD_SIZE - 24, stats_offset(again) + 24) == bytes(lib.STATS_RECORD_SIZE - 24)
            for reply in replies + [foreign, again]:
                reply.close()
            client.end()
            await_true(lambda: os.fstat(f.fileno()).st_nlink == 0, "it goes with its client")


def stats_offset(reply):
    return lib.STATS_RECORDS_OFF + reply.stats * lib.STATS_RECORD_SIZE


def case_statistics_hostile():
    """a client that cuts, empties, fills or removes its statistics hurts only itself"""
    rng = random.Random(5)
    with Daemon("--log-level", "error") as daemon, Client(daemon.path) as witness:
        for turn in range(24):
            client = Client(daemon.path, "hostile")
            replies = [client.open(role, "t") for role in (PUBLISHER, RELIABLE, BEST_EFFORT)]
            fd = replies[0].fds[1]
            size = os.fstat(fd).st_size
            if turn % 4 == 0:
                os.ftruncate(fd, (0, 4096, 4097, 12288, 20000, size - 1)[turn // 4])
            elif turn % 4 == 1:
                os.unlink(daemon.object(f"stats-{client.id}"))
            elif turn % 4 == 2:
                os.ftruncate(fd, 0)
                os.ftruncate(fd, size)
            else:
                for reply in replies:
                    os.pwrite(fd, rng.randbytes(lib.STATS_RECORD_SIZE - 24), stats_offset(reply) + 24)
            assert client.give_back(replies[turn % 3].grant_id).type == lib.DONE
            again = client.open(PUBLISHER, "t")
            assert again.type == (lib.OPENED if turn % 4 >= 2 else lib.ERROR)
            for reply in replies + [again]:
                reply.close()
            client.end()
            still_serves(daemon)
        await_true(lambda: witness.remove("t").type == lib.DONE, "its grants are freed")
        await_true(lambda: len([name for name in daemon.objects() if name.startswith("stats")]) == 1, "its object is gone")


def case_latency():
    """a topic has stamps unless it is created without; the choice is compared with later requests"""
    with Daemon() as daemon, Client(daemon.path) as client:
        for latency, stamps in ((0, 4096), (1, 4096), (2, 0), (3, 4096)):
            reply = client.open(PUBLISHER, f"t{latency}", capacity=64, latency=latency)
            assert reply.latency == max(latency - 1, 0)
            assert reply.lanes_off - (reply.slots_off + 64 * reply.slot_size) == stamps
            assert reply.stamps_off == (reply.lanes_off - 4096 if stamps else 0)
            reply.close()
        refused(client.create("u", latency=4), errno.EINVAL, "latency 4")
        refused(client.create("t0", latency=2), errno.EEXIST, "has latency sampled, the default since publisher 'test'",
                "states latency off", "topic rm t0")
        refused(client.create("t2", latency=1), errno.EEXIST, "has latency off, as publisher 'test'", "latency sampled")
        assert client.create("t2").type == lib.DONE


def case_join():
    """the record of a reliable subscriber is complete before the reply: cursor, generation, no active bit"""
    with Daemon() as daemon, Client(daemon.path) as client:
        publisher = client.open(PUBLISHER, "t", start_seq=(1 << 48) - 3)
        seq = (1 << 48) + 1000
        lib.write_word(publisher.fds[0], lib.CLAIM_OFF, (seq << 16) & 0xFFFFFFFFFFFFFFFF)
        for turn in range(1, 4):
            first = client.open(RELIABLE, "t")
            assert first.record == 0
            at = lib.RECORDS_OFF + first.record * lib.RECORD_SIZE
            assert lib.read_word(first.fds[lib.FD_CURSORS], at) == seq
            assert lib.read_word(first.fds[lib.FD_CURSORS], lib.ACTIVE_OFF) == 0
            assert lib.read_word(first.fds[0], lib.EVICT_OFF) == turn << 32
            lib.write_word(first.fds[lib.FD_CURSORS], lib.ACTIVE_OFF, 1)
            assert client.give_back(first.grant_id).type == lib.DONE
            assert lib.read_word(first.fds[lib.FD_CURSORS], lib.ACTIVE_OFF) == 0
            first.close()
        publisher.close()


def case_topics():
    """topics are created once, compared with later requests, refused if they are wrong, and removed"""
    with Daemon() as daemon, Client(daemon.path) as client:
        assert client.create("t", capacity=16).type == lib.DONE
        assert client.create("t", capacity=16).type == lib.DONE
        assert client.create("t").type == lib.DONE
        assert client.create("t", capacity=32).type == lib.DONE, "until a publisher has come, sizes are at least what is stated"
        assert client.create("t", capacity=16).type == lib.DONE
        for name in ("/", "a//b", "a/", "/a", "a+", "#"):
            refused(client.create(name), errno.EINVAL)
        refused(client.create("u", capacity=12), errno.EINVAL, 12)
        refused(client.create("u", max_message=(1 << 30) + 1), errno.EINVAL, (1 << 30) + 1, 1 << 30)
        refused(client.create("u", inline_max=4089, max_message=5000), errno.EINVAL, 4089, 4088)
        refused(client.create("u", lane_bytes=8192), errno.EINVAL, 8192, "no lanes")
        refused(client.create("u", slow=3), errno.EINVAL, "slow policy 3")
        refused(client.create("u", evict_lag=8), errno.EINVAL, "evict_lag of 8")
        for reply in (client.create(""), client.open(PUBLISHER, ""), client.remove("")):
            refused(reply, errno.EINVAL, "topic name is empty")
        refused(client.create("u", preset=7), errno.EINVAL, 7)
        refused(client.create("u", capacity=1 << 32, max_message=4088), errno.ENOSPC, "limit", "ring_bytes")
        refused(client.remove("u"), errno.ENOENT, "u")
        assert client.create("n" * 255).type == lib.DONE
        held = [client.open(PUBLISHER, "t", max_message=8), client.open(RELIABLE, "t"), client.open(BEST_EFFORT, "t")]
        assert [(reply.capacity, reply.max_message) for reply in held] == [(32, 8)] * 3
        refused(client.create("t", capacity=64), errno.EEXIST, "has 32 slots, as creator 'test'", "at least 64 slots")
        refused(client.open(PUBLISHER, "t", max_message=9), errno.EEXIST, "at most 8 bytes, as publisher 'test'",
                "at least 9 bytes", "topic rm t")
        refused(client.remove("t"), errno.EBUSY, f"'test' (pid {os.getpid()})", "end them first")
        for reply in held:
            reply.close()
            client.give_back(reply.grant_id)
        assert client.remove("t").type == lib.DONE
        refused(client.remove("t"), errno.ENOENT)
        assert client.remove("n" * 255).type == lib.DONE
        assert [name for name in daemon.objects() if name.startswith(("log", "cursors", "notes"))] == []


def case_exclusive():
    """an exclusive topic has one publisher; its death makes room at once; a client can't give back another's grant"""
    with Daemon() as daemon, Client(daemon.path) as client:
        assert client.create("t", publishers=2).type == lib.DONE
        refused(client.create("t", publishers=3), errno.EEXIST, "exclusive", "unbiased", "topic rm")
        refused(client.create("t", publishers=1), errno.EEXIST, "exclusive", "shared")
        refused(client.create("u", publishers=4), errno.EINVAL, "publishers 4")
        with Helper(daemon.path, PUBLISHER, "t") as other:
            refused(client.open(PUBLISHER, "t"), errno.EBUSY, "t", "helper", other.pid)
            refused(client.give_back(other.grant_id), errno.ENOENT)
            other.end()
            mine = client.open(PUBLISHER, "t")
            assert mine.type == lib.OPENED and mine.grant_id > other.grant_id
            mine.close()
        refused(client.open(PUBLISHER, "t"), errno.EBUSY, os.getpid())


def case_reliable_records():
    """64 reliable subscribers, then a refusal; when one is killed, its record is free again and its active bit clear"""
    with Daemon() as daemon, Client(daemon.path) as client, Helper(daemon.path, RELIABLE, "t") as other:
        replies = [client.open(RELIABLE, "t") for _ in range(63)]
        assert sorted([reply.record for reply in replies] + [other.record]) == list(range(64))
        refused(client.open(RELIABLE, "t"), errno.EUSERS, 64)
        cursors = replies[0].fds[lib.FD_CURSORS]
        everyone = (1 << 64) - 1
        assert lib.read_word(cursors, lib.ACTIVE_OFF) == 1 << other.record  # subscribers join by themselves: one has
        lib.write_word(cursors, lib.ACTIVE_OFF, everyone)
        other.end()
        await_true(lambda: lib.read_word(cursors, lib.ACTIVE_OFF) == everyone & ~(1 << other.record),
                   "publishers no longer wait for the dead subscriber")
        last = client.open(RELIABLE, "t")
        assert last.record == other.record
        for reply in replies + [last]:
            reply.close()


def allocated(fd):
    return os.fstat(fd).st_blocks * 512


def case_lanes():
    """the file has room for 64 lanes, only lanes that a publisher has used are allocated, and ring_bytes limits those"""
    with Daemon(config="[limits]\nring_bytes = 2097152\n") as daemon, Client(daemon.path) as client:
        config = {"max_message": 1 << 18, "capacity": 64, "lane_bytes": 1 << 19}
        client.create("large", **config)
        client.open(PUBLISHER, "large").close()
        subscriber = client.open(BEST_EFFORT, "large", **config)
        client.give_back(subscriber.grant_id - 1)
        assert (subscriber.slot_size, subscriber.lane_bytes) == (64, 1 << 19)
        assert subscriber.log_bytes == subscriber.lanes_off + 64 * (1 << 19) == os.fstat(subscriber.fds[0]).st_size
        assert allocated(subscriber.fds[0]) == subscriber.lanes_off + subscriber.lane_bytes
        with Helper(daemon.path, PUBLISHER, "large"):
            assert allocated(subscriber.fds[0]) == subscriber.lanes_off + subscriber.lane_bytes
        publisher = client.open(PUBLISHER, "large", **config)  # it gets the dead publisher's lane
        assert publisher.geometry_matches(subscriber)
        assert allocated(subscriber.fds[0]) == subscriber.lanes_off + subscriber.lane_bytes
        for reply in (subscriber, publisher):
            reply.close()
        refused(client.create("larger", max_message=1 << 20, lane_bytes=1 << 21), errno.ENOSPC, "lane", "2 MiB",
                "ring_bytes")


def case_evict():
    """the evict_lag of a topic is in its geometry and is compared with later requests"""
    with Daemon() as daemon, Client(daemon.path) as client:
        reply = client.open(PUBLISHER, "t", capacity=64, slow=2, evict_lag=40)
        assert reply.evict_lag == 40
        assert client.create("t", slow=2).type == lib.DONE
        refused(client.create("t", slow=2, evict_lag=50), errno.EEXIST, "evicts at a lag of 40, as publisher 'test'",
                "eviction at a lag of 50")
        refused(client.create("t", slow=1), errno.EEXIST, "slow policy evict", "slow policy wait")
        waits = client.open(PUBLISHER, "waits", capacity=64)
        refused(client.create("waits", slow=2), errno.EEXIST, "has slow policy wait, the default", "states slow policy evict")
        reply.close()
        waits.close()


def case_types():
    """a topic takes the first type that a publisher or its creation states, and refuses others"""
    with Daemon() as daemon, Client(daemon.path) as client:
        assert client.create("x").type == lib.DONE
        assert client.create("x", type_name="quote", type_version=2, type_size=32).type == lib.DONE
        trade = {"type_name": "trade", "type_version": 1, "type_size": 40}
        made = ("creator 'test'", "states type 'quote' version 2 of 32 bytes", "'trade' version 1 of 40 bytes", "topic rm")
        refused(client.create("x", **trade), errno.EEXIST, *made)
        refused(client.open(PUBLISHER, "x", **trade), errno.EEXIST, "publisher 'test'", *made)
        refused(client.open(BEST_EFFORT, "x", **trade), errno.EEXIST, "subscriber 'test'", *made)
        reply = client.open(PUBLISHER, "x")
        assert reply.type == lib.OPENED, "a request without a type is never refused"
        assert reply.max_message == 32, "a type's size is the longest message that is needed"
        reply.close()
        text = "topic 'x' carries 'quote' version 2 of 32 bytes, as client 'test'"
        refused(client.open(BEST_EFFORT, "x", **trade), errno.EEXIST, text, "topic rm x")
        refused(client.create("y", type_name="big", type_size=2000, max_message=1016), errno.EINVAL, "big", 2000, 1016)
        daemon.kill()
        daemon.start()
        with Client(daemon.path) as other:
            refused(other.create("x", **trade), errno.EEXIST, text)


def case_requests_end():
    """what a subscriber states binds others only while it is open"""
    with Daemon() as daemon, Client(daemon.path, "view") as client, Client(daemon.path, "cam") as other:
        quote, trade = {"type_name": "quote"}, {"type_name": "trade"}
        publisher = other.open(PUBLISHER, "x")
        reply = client.open(BEST_EFFORT, "x", **quote)
        for role in (PUBLISHER, RELIABLE):
            refused(other.open(role, "x", **trade), errno.EEXIST, "subscriber 'view'", "'quote'", "'cam'", "'trade'", "agree")
        client.give_back(reply.grant_id)
        reply.close()
        reply = client.open(BEST_EFFORT, "x", **trade)
        assert reply.type == lib.OPENED
        reply.close()
        assert other.open(PUBLISHER, "x", **trade).type == lib.OPENED, "now it is the topic's type"
        refused(client.open(BEST_EFFORT, "x", **quote), errno.EEXIST, "carries 'trade'", "as client 'cam'")
        publisher.close()
        waiting = client.open(RELIABLE, "y", publishers=2, slow=1, latency=2)
        for wrong in ({"publishers": 1}, {"slow": 2}, {"latency": 1}, {"start_seq": 7}):
            refused(other.open(PUBLISHER, "y", **wrong), errno.EEXIST, "'y'")
        waiting.close()
        client.end()
        reply = other.open(PUBLISHER, "y", publishers=1, slow=2, latency=1, start_seq=7)
        assert reply.type == lib.OPENED, "the dead subscriber's requests don't count"
        reply.close()


def case_asked():
    """what the shape has from a subscriber isn't a default, also when the subscriber has gone"""
    with Daemon() as daemon, Client(daemon.path, "feed") as feed, Client(daemon.path, "next") as other:
        with Client(daemon.path, "grabber") as grabber, Client(daemon.path, "view") as view:
            for reply in (grabber.open(RELIABLE, "one", max_message=1 << 20, publishers=2), view.open(RELIABLE, "one", latency=0),
                          grabber.open(RELIABLE, "two", max_message=1 << 20), view.open(RELIABLE, "two", capacity=64),
                          view.open(RELIABLE, "gone", capacity=2048)):
                reply.close()
            view.give_back(reply.grant_id)
            publishers = [feed.open(PUBLISHER, name, capacity=32) for name in ("one", "two", "gone")]
            assert [reply.capacity for reply in publishers] == [32, 64, 32], "a larger size counts"
            grabber.end()
            view.end()
        daemon.kill()
        daemon.start()
        other.connect()
        one, two = ("as subscriber 'grabber' (pid", "asked for when publisher 'feed' (pid"), ("as a subscriber asked for when publisher 'feed' (pid",)
        refused(other.create("one", max_message=8 << 20), errno.EEXIST, "at most 1 MiB", *one)
        refused(other.create("one", publishers=1), errno.EEXIST, "exclusive publishers", *one)
        refused(other.open(PUBLISHER, "one"), errno.EBUSY, "is exclusive, as subscriber 'grabber' (pid", "came, and has a publisher: 'feed' (pid")
        refused(other.create("one", capacity=64), errno.EEXIST, "has 32 slots, as publisher 'feed'")
        refused(other.create("two", max_message=8 << 20), errno.EEXIST, "at most 1 MiB", *two)
        refused(other.create("two", capacity=128), errno.EEXIST, "has 64 slots", *two)
        refused(other.create("gone", max_message=8 << 20), errno.EEXIST, "1016 bytes, the default since publisher 'feed'")
        for reply in publishers:
            reply.close()


def case_publisher_counts_with_requests():
    """what a publisher states is judged together with what the waiting subscribers ask for, and as it stands by itself if it creates"""
    with Daemon() as daemon, Client(daemon.path, "feed") as feed, Client(daemon.path, "view") as view:
        evict = {"slow": 2, "capacity": 64}
        waiting = [view.open(RELIABLE, "lanes", max_message=1 << 20), view.open(RELIABLE, "evicts", **evict),
                   view.open(RELIABLE, "deep", capacity=1 << 13)]
        refused(feed.create("lanes", lane_bytes=4 << 20), errno.EINVAL, "there are no lanes")
        refused(feed.create("evicts", evict_lag=40), errno.EINVAL, "evict_lag of 40")
        replies = []
        for _ in range(2):  # the first one makes the topic, and the second one states what it has
            replies += [feed.open(PUBLISHER, "lanes", lane_bytes=4 << 20), feed.open(PUBLISHER, "evicts", evict_lag=40),
                        feed.open(PUBLISHER, "deep", slow=2, evict_lag=1 << 12)]
        for i in (0, 3):
            assert (replies[i].max_message, replies[i].lane_bytes) == (1 << 20, 4 << 20)
            assert (replies[i + 1].capacity, replies[i + 1].evict_lag) == (64, 40)
            assert (replies[i + 2].capacity, replies[i + 2].evict_lag) == (1 << 13, 1 << 12)
        refused(feed.open(PUBLISHER, "evicts", evict_lag=41), errno.EEXIST, "evicts at a lag of 40, as publisher 'feed' (pid")
        for reply in replies:
            feed.give_back(reply.grant_id)
        for reply in waiting:
            view.give_back(reply.grant_id)
        # Nobody uses the topics, but without the subscribers' sizes there are no such topics.
        refused(feed.create("lanes", max_message=4 << 20), errno.EEXIST, "at most 1 MiB, as subscriber 'view' (pid", "topic rm lanes")
        refused(feed.create("deep", capacity=1 << 14), errno.EEXIST, "8192 slots, as subscriber 'view' (pid", "topic rm deep")
        for reply in replies + waiting:
            reply.close()


def case_raised():
    """a publisher that states more than the creator is named for that, and the creator for the rest, also when the topic begins anew"""
    with Daemon() as daemon, Client(daemon.path, "one") as one, Client(daemon.path, "two") as two:
        assert one.create("at", capacity=64, latency=2, max_message=5000).type == lib.DONE
        two.open(PUBLISHER, "at", capacity=128, type_name="a").close()
        assert two.create("at", capacity=64, max_message=8192).type == lib.DONE, "it has that"
        refused(one.create("at", capacity=256), errno.EEXIST, "has 128 slots, as publisher 'two' (pid")
        refused(one.create("at", latency=1), errno.EEXIST, "latency off, as creator 'one' (pid")
        refused(one.create("at", max_message=10000), errno.EEXIST, "at most 8 KiB, as creator 'one' (pid")
        daemon.kill()
        daemon.start()
        one.connect()
        two.end()
        await_true(lambda: one.create("at", publishers=2).type == lib.DONE, "two has ended, and the topic begins anew")
        for _ in range(2):
            refused(one.create("at", latency=1), errno.EEXIST, "creator 'one' (pid", "states latency off, creator 'one'")
            refused(one.create("at", type_name="b"), errno.EEXIST, ": a later creator states type 'a'", "topic rm")
            daemon.kill()
            daemon.start()
            one.connect()
        reply = one.open(PUBLISHER, "at")
        assert (reply.capacity, reply.max_message, reply.publishers) == (128, 8192, 1)
        reply.close()
        refused(one.create("at", type_name="b"), errno.EEXIST, "carries 'a'", "as client 'two' (pid")


def case_creators():
    """the first creator is named for what it stated, and for nothing else"""
    with Daemon() as daemon, Client(daemon.path, "one") as one, Client(daemon.path, "two") as two:
        assert one.create("at", publishers=2, type_name="a", type_version=1).type == lib.DONE
        assert two.create("at", capacity=64, latency=2).type == lib.DONE
        for _ in range(2):
            refused(two.create("at", publishers=1), errno.EEXIST, "creator 'one' (pid", "states exclusive publishers", "topic rm")
            refused(two.create("at", type_name="b"), errno.EEXIST, "creator 'one' (pid", "states type 'a'", "topic rm")
            refused(one.create("at", latency=1), errno.EEXIST, ": a later creator states latency off", "topic rm")
            daemon.kill()
            daemon.start()
            one.connect()
            two.connect()
        reply = one.open(PUBLISHER, "at")
        assert (reply.capacity, reply.publishers) == (64, 1)
        refused(two.create("at", publishers=1), errno.EEXIST, "exclusive publishers, as creator 'one' (pid")
        refused(two.create("at", capacity=128), errno.EEXIST, "64 slots, as a later creator stated")
        reply.close()


def registry_record(daemon, reply):
    with open(daemon.object("registry"), "rb") as f:
        return os.pread(f.fileno(), lib.TOPIC_SIZE, reply.registry_off)


def shape_in(record):
    return struct.unpack_from("<Q", record, 128)[0] & 255


def case_subscriber_first():
    """a subscriber that opens a topic first gets its words; the first publisher gives it slots, and nothing is lost"""
    with Daemon() as daemon, Client(daemon.path, "view") as client, Client(daemon.path, "cam") as other:
        reliable = client.open(RELIABLE, "t", start_seq=5, capacity=64)
        observer = client.open(BEST_EFFORT, "t")
        for reply, fds in ((reliable, 5), (observer, 4)):
            assert (reply.type, reply.shape, len(reply.fds), reply.start_seq) == (lib.OPENED, 0, fds, 5)
            assert (reply.log_bytes, reply.lanes_off, reply.capacity, reply.slot_size) == (0, 0, 0, 0)
            assert os.fstat(reply.fds[0]).st_size == 20480 == allocated(reply.fds[0])
            assert access(reply.fds[-1]) == os.O_RDONLY, "the registry"
            assert struct.unpack_from("<QQ", os.pread(reply.fds[-1], 16, reply.registry_off))[1] == reply.topic_id
        cursors = reliable.fds[lib.FD_CURSORS]
        assert lib.read_word(cursors, lib.ACTIVE_OFF) == 0  # a reply that is lost holds up no publisher
        assert lib.read_word(cursors, lib.RECORDS_OFF + reliable.record * lib.RECORD_SIZE) == 5
        before = lib.Stream(reliable.fds[0]).wake
        publisher = other.open(PUBLISHER, "t", max_message=6 << 20, lane_bytes=8 << 20)
        assert (publisher.shape, publisher.capacity, publisher.lane_bytes, len(publisher.fds)) == (2, 64, 8 << 20, 4)
        assert publisher.max_message >= 6 << 20 and publisher.start_seq == 5
        assert os.path.samestat(os.fstat(publisher.fds[0]), os.fstat(reliable.fds[0]))
        assert os.fstat(reliable.fds[0]).st_size == publisher.log_bytes
        assert allocated(reliable.fds[0]) == publisher.lanes_off + publisher.lane_bytes
        assert lib.Stream(reliable.fds[0]).wake > before, "those who wait are woken"
        record = registry_record(daemon, reliable)
        assert shape_in(record) == 2 and record[512:516] == b"cam\0"
        assert struct.unpack_from("<I", record, 124)[0] == 1 << 0 | 1 << 3, "the subscriber's wish isn't the topic's"
        late = client.open(RELIABLE, "t")
        assert late.shape == 2 and late.geometry_matches(publisher) and len(late.fds) == 4
        for reply in (reliable, observer, publisher, late):
            reply.close()


def case_waiting_ends():
    """a topic that never had a publisher ends with its last subscriber, and isn't there for others"""
    with Daemon() as daemon, Client(daemon.path) as client, Client(daemon.path) as other:
        before = daemon.objects()
        first, second = client.open(RELIABLE, "t"), client.open(BEST_EFFORT, "t")
        refused(other.remove("t"), errno.ENOENT, "there is no topic 't'; 2 subscribers wait for it")
        for role in (PUBLISHER, RELIABLE, BEST_EFFORT):
            refused(other.open(role, "t", lib.EXISTING), errno.ENOENT, "2 subscribers wait for it")
        first.close()
        second.close()
        client.give_back(first.grant_id)
        refused(other.remove("t"), errno.ENOENT, "1 subscriber waits for it")
        client.end()
        await_true(lambda: len(daemon.objects()) == len(before) - 2, "the topic is gone, and the client")
        refused(other.remove("t"), errno.ENOENT, "there is no topic 't'")
        with Helper(daemon.path, RELIABLE, "t") as dead:
            daemon.kill()
            dead.end()
        daemon.start()
        assert [name for name in daemon.objects() if name.startswith("log")] == []


def case_made():
    """a topic that was created keeps open what nobody has stated, until a publisher comes"""
    with Daemon(config="[limits]\nring_bytes = 20971520\n") as daemon, Client(daemon.path) as client:
        assert client.create("t", publishers=2).type == lib.DONE
        waiting = client.open(BEST_EFFORT, "t", lib.EXISTING)
        assert waiting.shape == 1 and waiting.log_bytes == 0 and len(waiting.fds) == 4
        size = os.fstat(waiting.fds[0]).st_size
        assert allocated(waiting.fds[0]) == size == 20480 + (1 << 20) + 8192
        refused(client.open(PUBLISHER, "t", max_message=32 << 20), errno.ENOSPC, "ring_bytes")
        assert os.fstat(waiting.fds[0]).st_size == size == allocated(waiting.fds[0]), "as it was"
        before = lib.Stream(waiting.fds[0]).wake
        assert client.create("t", max_message=2000).type == lib.DONE
        assert lib.Stream(waiting.fds[0]).wake > before
        assert client.remove("t").type == lib.DONE, "its subscriber waits on"
        assert os.fstat(waiting.fds[0]).st_size == 20480 == allocated(waiting.fds[0])
        refused(client.remove("t"), errno.ENOENT, "1 subscriber waits for it")
        daemon.kill()
        daemon.start()
        with Client(daemon.path) as other:
            assert other.create("t", max_message=64).type == lib.DONE
            daemon.kill()
            daemon.start()
        with Client(daemon.path) as other:
            refused(other.create("t", max_message=64, slow=1, evict_lag=9), errno.EINVAL)
            publisher = other.open(PUBLISHER, "t", lib.EXISTING)
            assert publisher.max_message == 64
            assert os.path.samestat(os.fstat(publisher.fds[0]), os.fstat(waiting.fds[0]))
            publisher.close()
        waiting.close()


def case_anew():
    """a topic that nobody uses and that holds no message doesn't refuse what its defaults don't allow"""
    with Daemon() as daemon, Client(daemon.path) as client:
        first = client.open(PUBLISHER, "t", publishers=2)
        refused(client.open(PUBLISHER, "t", max_message=5000), errno.EEXIST, "1016 bytes, the default since", "end its users, 'test'")
        client.give_back(first.grant_id)
        refused(client.open(PUBLISHER, "t", publishers=1), errno.EEXIST, "as publisher 'test'", "or remove it first")
        # What is refused ends no topic, nor does an open that makes none.
        refused(client.open(PUBLISHER, "t", max_message=1 << 30), errno.ENOSPC, "aetherd's limit of 1 GiB")
        refused(client.open(PUBLISHER, "t", lib.EXISTING, max_message=5000), errno.EEXIST, "1016 bytes, the default since")
        refused(client.open(RELIABLE, "t", lib.EXISTING, capacity=1 << 16), errno.EEXIST, "slots, the default since")
        second = client.open(PUBLISHER, "t", max_message=5000)
        assert second.max_message >= 5000 and second.topic_id != first.topic_id and second.publishers == 1
        client.give_back(second.grant_id)
        lib.write_word(second.fds[0], lib.CLAIM_OFF, 1 << 16 | lib.CLAIM_NOBODY)  # a message
        refused(client.open(PUBLISHER, "t", max_message=9000), errno.EEXIST, "as publisher 'test'", "topic rm t")
        assert client.remove("t").type == lib.DONE
        client.give_back(client.open(PUBLISHER, "t").grant_id)
        waiting = client.open(RELIABLE, "t", capacity=4096)
        assert waiting.shape == 0, "nothing of it was stated"
        for reply in (first, second, waiting):
            reply.close()


def case_cursor_pages():
    """of the cursors a page is allocated with the first record that lies in it"""
    with Daemon() as daemon, Client(daemon.path) as client:
        for record in range(64):
            reply = client.open(RELIABLE, "t")
            assert reply.record == record
            pages = 1 + (lib.RECORDS_OFF + record * lib.RECORD_SIZE) // 4096
            assert allocated(reply.fds[lib.FD_CURSORS]) == 4096 * pages, record
            reply.close()


def case_stream():
    """the stream block after a publisher has closed, after one was killed, and after the next has opened"""
    with Daemon() as daemon, Client(daemon.path) as client:
        subscriber = client.open(BEST_EFFORT, "t")
        log = subscriber.fds[0]
        begin = lib.Stream(log)
        assert (begin.open, begin.died, begin.joins, begin.wake, begin.subscribers) == (0, 0, 0, 1, 1)
        first = client.open(PUBLISHER, "t")
        assert lib.Stream(log).open == 1 << first.record
        lib.write_word(first.fds[0], lib.UNFENCED_OFF, 1 << first.record)
        lib.write_word(first.fds[0], lib.OPEN_OFF, 0)
        client.give_back(first.grant_id)
        first.close()
        assert (lib.Stream(log).open, lib.Stream(log).died) == (0, 0)
        with Helper(daemon.path, PUBLISHER, "t") as other:
            assert lib.Stream(log).open == 1 << other.record and lib.Stream(log).unfenced == 0
            other.end()
            await_true(lambda: lib.Stream(log).died > other.grant_id, "its death is marked")
            await_true(lambda: lib.Stream(log).open == 0 and lib.Stream(log).wake > begin.wake, "sleeping subscribers wake")
        second = client.open(PUBLISHER, "t")
        end = lib.Stream(log)
        assert (end.open, end.died, end.joins, end.subscribers) == (1 << second.record, 0, 3, 1)
        second.close()
        subscriber.close()


def case_limits():
    """beyond the limits of topics, clients and handles, requests are refused with a text that names the limit"""
    config = "[limits]\ntopics = 2\nclients = 2\ngrants = 3\nring_bytes = 65536\n"
    with Daemon(config=config) as daemon, Client(daemon.path) as a, Client(daemon.path) as b:
        assert a.create("1", capacity=8).type == lib.DONE and a.create("2", capacity=8).type == lib.DONE
        refused(a.create("3", capacity=8), errno.EUSERS, 2, "topics")
        assert a.remove("2").type == lib.DONE
        refused(a.open(BEST_EFFORT, "2", capacity=1024), errno.ENOSPC, "64 KiB")
        waiting = a.open(BEST_EFFORT, "2")
        assert waiting.type == lib.OPENED, "a default that is too large doesn't refuse a subscriber"
        refused(a.create("3", capacity=8), errno.EUSERS, "limit of 2 topics", "1 of them without a publisher")
        a.give_back(waiting.grant_id)
        waiting.close()
        refused(a.create("4"), errno.ENOSPC, "64 KiB")
        sock = connect(daemon.path)
        sock.send(lib.hello())
        refused(lib.receive(sock), errno.EUSERS, 2, "clients")
        assert closed(sock)
        replies = [b.open(BEST_EFFORT, "1") for _ in range(3)]
        refused(a.open(BEST_EFFORT, "1"), errno.EUSERS, 3, "grants")
        for reply in replies:
            reply.close()
        b.end()
        await_true(lambda: client_again(daemon), "a client that has left makes room")
        reply = a.open(BEST_EFFORT, "1")
        assert reply.type == lib.OPENED
        reply.close()


def client_again(daemon):
    sock = connect(daemon.path)
    sock.send(lib.hello())
    reply = lib.receive(sock)
    reply.close()
    sock.close()
    return reply.type == lib.WELCOME


def case_version():
    """another protocol version is refused with both versions in the text, and the connection is closed"""
    with Daemon() as daemon:
        sock = connect(daemon.path)
        sock.send(lib.hello(version=77))
        refused(lib.receive(sock), errno.EPROTO, 77, f"version {lib.VERSION}")
        assert closed(sock)
        sock = connect(daemon.path)
        sock.send(lib.packet(lib.CREATE, lib.topic_request("t"), version=1))
        refused(lib.receive(sock), errno.EPROTO, "version 1", f"version {lib.VERSION}")
        assert closed(sock)
        still_serves(daemon)


def case_existing():
    """an open that asks for an existing topic creates none"""
    with Daemon() as daemon, Client(daemon.path) as client:
        before = daemon.objects()
        for role in (PUBLISHER, RELIABLE, BEST_EFFORT):
            refused(client.open(role, "t", lib.EXISTING), errno.ENOENT, "there is no topic 't'")
        assert daemon.objects() == before
        client.create("t")
        reply = client.open(RELIABLE, "t", lib.EXISTING)
        assert reply.type == lib.OPENED and reply.shape == 1
        with open(daemon.object("registry"), "rb") as f:
            assert lib.read_word(f.fileno(), reply.registry_off + 8) == reply.topic_id
        reply.close()


def case_look():
    """a connection may look at objects, before HELLO and after it; that makes no client"""
    with Daemon() as daemon, Client(daemon.path) as client:
        opened = client.open(RELIABLE, "t", capacity=8)
        before = daemon.objects()
        sock = connect(daemon.path)
        names = {lib.LOOK_INSTANCE: "registry", lib.LOOK_LOG: f"log-{opened.topic_id}",
                 lib.LOOK_CURSORS: f"cursors-{opened.topic_id}", lib.LOOK_STATS: f"stats-{client.id}",
                 lib.LOOK_TOTALS: "totals"}
        for _ in range(2):
            for kind, name in names.items():
                number = {lib.LOOK_LOG: opened.topic_id, lib.LOOK_CURSORS: opened.topic_id, lib.LOOK_STATS: client.id}
                sock.send(lib.packet(lib.LOOK, struct.pack("<IQ", kind, number.get(kind, 0))))
                for reply in (lib.receive(sock), client.look(kind, number.get(kind, 0))):
                    assert reply.type == lib.OBJECT and len(reply.fds) == 1
                    assert (reply.pid, reply.uid) == (daemon.pid, os.geteuid())
                    assert reply.prefix == "/" + daemon.prefix and reply.socket_path == daemon.path
                    assert os.path.samestat(os.fstat(reply.fds[0]), os.stat(daemon.object(name)))
                    assert reply.bytes == os.fstat(reply.fds[0]).st_size and access(reply.fds[0]) == os.O_RDONLY
                    reply.close()
        for kind in (lib.LOOK_LOG, lib.LOOK_CURSORS, lib.LOOK_STATS):
            sock.send(lib.packet(lib.LOOK, struct.pack("<IQ", kind, 999)))
            refused(lib.receive(sock), errno.ENOENT, 999)
        assert daemon.objects() == before
        sock.send(lib.hello())
        welcome = lib.receive(sock)
        assert welcome.type == lib.WELCOME, "it may become a client afterwards"
        welcome.close()
        sock.close()
        opened.close()


def case_order():
    """a request before HELLO, a second HELLO and a reply that is sent as a request are refused"""
    with Daemon() as daemon:
        sock = connect(daemon.path)
        sock.send(lib.packet(lib.SHUTDOWN))
        refused(lib.receive(sock), errno.EPROTO, "HELLO")
        assert closed(sock)
        with Client(daemon.path) as client:
            refused(client.ask(lib.HELLO, struct.pack("<QQQQ", 0, 0, 0, 0) + lib.string("x")), errno.EPROTO)
        with Client(daemon.path) as client:
            refused(client.ask(lib.DONE), errno.EPROTO)
        still_serves(daemon)


def settled_fds(daemon, client):
    """The number of fds that the daemon has open, after it has served all earlier requests."""
    refused(client.give_back(0), errno.ENOENT)
    return daemon.fds()


def valid_packets():
    body = lib.topic_request("a/b", 100, 8, type_name="quote")
    return [lib.hello("fuzz"), lib.packet(lib.OPEN, struct.pack("<II", RELIABLE, 0) + body), lib.packet(lib.CREATE, body),
            lib.packet(lib.REMOVE, lib.string("a/b")), lib.packet(lib.CLOSE, struct.pack("<Q", 1)),
            lib.packet(lib.LOOK, struct.pack("<IQ", 0, 0))]


def throw(daemon, data, greeted):
    """Sends one packet on a new connection and ignores the replies."""
    sock = connect(daemon.path)
    try:
        token = None
        if greeted:
            sock.send(lib.hello("thrower"))
            token = lib.receive(sock)
        sock.send(data)
        sock.shutdown(socket.SHUT_WR)
        assert closed(sock)
        if token is not None:
            token.close()
    except BrokenPipeError:
        pass
    finally:
        sock.close()


def case_garbage():
    """after thousands of connections with random and mutated packets, the daemon still serves and has leaked no fd"""
    rng = random.Random(20240229)
    with Daemon() as daemon:
        with Client(daemon.path) as witness:
            before = settled_fds(daemon, witness)
            for _ in range(1500):
                throw(daemon, rng.randbytes(rng.choice((1, 4, 11, 12, 13, 64, 1023, 1024))), rng.random() < 0.3)
            for _ in range(1500):
                data = bytearray(rng.choice(valid_packets()))
                for _ in range(rng.randint(1, 4)):
                    data[rng.randrange(len(data))] = rng.randrange(256)
                if bytes(data[:2]) == struct.pack("<H", lib.SHUTDOWN):
                    continue
                throw(daemon, bytes(data[:rng.randint(1, len(data))]) if rng.random() < 0.3 else bytes(data), rng.random() < 0.7)
            for data in (b"\0" * 1025, b"\xff" * 65536, b"\0" * 12):
                throw(daemon, data, True)
            await_true(lambda: daemon.fds() == before, "every fd of a closed connection is closed")
            assert witness.create("alive").type == lib.DONE, "the well-behaved connection is still served"
        still_serves(daemon)


def lines_and_count(daemon, line, more):
    """How many lines the log has of a cause, and how many events they stand for."""
    texts = daemon.log().splitlines()
    counts = [int(found.group(1)) for found in (re.search(rf"and (\d+) more: {more}$", text) for text in texts) if found]
    single = sum(1 for text in texts if re.search(line, text))
    return single + len(counts), single + sum(counts)


def case_log_of_refusals():
    """however often programs are refused, the log has at most a line a second for each cause, the first at once, and counts all"""
    garbage, crowded = (": connection closed$", "connection closed, not a message of the protocol"), \
        ("connection refused: aetherd's limit", "connection refused, the limit of clients is reached")
    with Daemon(config="[limits]\nclients = 1\n") as daemon:
        begun = time.monotonic()
        throw(daemon, b"\0" * 12, False)
        await_true(lambda: lines_and_count(daemon, *garbage) == (1, 1), "the first is said at once")
        for _ in range(299):
            throw(daemon, b"\0" * 12, False)
        await_true(lambda: lines_and_count(daemon, *garbage)[1] == 300, "all are counted")
        lines = lines_and_count(daemon, *garbage)[0]
        assert lines <= time.monotonic() - begun + 1, f"{lines} lines"
        held = [connect(daemon.path) for _ in range(65)]
        await_true(lambda: daemon.fds() >= 65, "they are accepted")
        for _ in range(10):
            throw(daemon, b"", False)
        for sock in held:
            sock.close()
        await_true(lambda: lines_and_count(daemon, *crowded)[1] == 10, "another cause is said beside it")
        throw(daemon, b"\0" * 12, False)
        daemon.stop()
        assert lines_and_count(daemon, *garbage)[1] == 301, "what isn't said yet is said at the end"


def case_lengths():
    """every prefix of a valid packet is refused, and so is a longer packet; an empty packet ends the connection"""
    with Daemon() as daemon:
        for data in valid_packets()[1:]:
            for cut in list(range(1, len(data))) + [None]:
                wrong = data[:cut] if cut else data + b"\0"
                sock = connect(daemon.path)
                sock.send(lib.hello())
                lib.receive(sock).close()
                sock.send(wrong)
                refused(lib.receive(sock), errno.EPROTO)
                assert closed(sock)
                sock.close()
        sock = connect(daemon.path)
        sock.sendmsg([b""])
        assert closed(sock)
        still_serves(daemon)


def case_fds():
    """fds that come with a request are closed, and so is the connection"""
    with Daemon() as daemon, Client(daemon.path) as witness:
        before = settled_fds(daemon, witness)
        pipe = os.pipe()
        for count in (1, 5, 6, 100):
            sock = connect(daemon.path)
            socket.send_fds(sock, [lib.hello()], [pipe[0]] * count)
            assert closed(sock)
        for fd in pipe:
            os.close(fd)
        await_true(lambda: daemon.fds() == before, "no fd stays open")
        assert witness.create("t").type == lib.DONE


def case_silent():
    """a connection without HELLO is closed at the deadline, not earlier, and no other client waits for it"""
    with Daemon() as daemon:
        begin = time.monotonic()
        silent = [connect(daemon.path) for _ in range(8)]
        still_serves(daemon)
        for sock in silent:
            assert closed(sock)
        assert time.monotonic() - begin > 4.9
        still_serves(daemon)


def case_gave_up():
    """what a client asked for before it hung up isn't done: it would hold up what it asks on its next connection"""
    with Daemon() as daemon, Client(daemon.path) as witness, Client(daemon.path) as client:
        os.kill(daemon.pid, signal.SIGSTOP)
        for _ in range(3):
            sock = connect(daemon.path)
            sock.send(lib.hello("gave up"))
            sock.close()
        client.sock.send(lib.packet(lib.OPEN, struct.pack("<II", PUBLISHER, 0) + lib.topic_request("opened")))
        client.sock.send(lib.packet(lib.CREATE, lib.topic_request("created"), 2))
        client.sock.close()
        os.kill(daemon.pid, signal.SIGCONT)
        refused(witness.open(BEST_EFFORT, "opened", flags=lib.EXISTING), errno.ENOENT)
        await_true(lambda: witness.remove("created").type == lib.DONE, "a creation needs no reply")
        still_serves(daemon)
        assert "(gave up, " not in daemon.log(), "no client was made"


def case_never_reads():
    """the connection of a client that reads no replies is closed; the fds that were sent to it don't stay open"""
    with Daemon() as daemon, Client(daemon.path) as witness:
        client = Client(daemon.path)
        client.sock.setblocking(False)
        body = struct.pack("<II", BEST_EFFORT, 0) + lib.topic_request("t", capacity=8)
        before = settled_fds(daemon, witness)

        def push():
            try:
                client.sock.send(lib.packet(lib.OPEN, body))
                return False
            except BlockingIOError:
                return False
            except (BrokenPipeError, ConnectionResetError):
                return True

        await_true(push, "the connection is closed")
        await_true(lambda: daemon.fds() == before - 1, "its fd is closed and no other is open")
        assert "doesn't read" in daemon.log()
        refused(witness.remove("t"), errno.ENOENT, "subscribers wait for it")  # the client lives, so its grants stay
        client.end()
        await_true(lambda: witness.remove("t").text == "there is no topic 't'", "its grants are freed")
        await_true(lambda: daemon.fds() == before - 2, "its process is no longer watched")


def case_many():
    """thousands of clients connect and leave, and nothing of them stays"""
    with Daemon("--log-level", "warning") as daemon, Client(daemon.path) as witness:
        before = settled_fds(daemon, witness)
        for i in range(2000):
            with Client(daemon.path, f"client {i}") as client:
                if i % 10 == 0:
                    client.open(i % 3 + 1, "t").close()
        await_true(lambda: len([n for n in daemon.objects() if n.startswith("token")]) == 1, "tokens are gone")
        await_true(lambda: daemon.fds() == before, "no fd stays open")
        assert witness.remove("t").type == lib.DONE


def case_few_fds():
    """without free fds, waiting connections cost no CPU; they are served when another connection closes"""
    with Daemon(wrapper=["sh", "-c", 'ulimit -n 24; exec "$@"', "sh"]) as daemon:
        clients = []
        pending = []
        for _ in range(40):
            sock = connect(daemon.path)
            sock.settimeout(0.2)
            sock.send(lib.hello())
            try:
                reply = lib.receive(sock)
            except socket.timeout:
                pending.append(sock)
                continue
            reply.close()
            (clients if reply.type == lib.WELCOME else pending).append(sock)
        assert clients and pending
        spent = cpu_ticks(daemon)
        time.sleep(1)  # the time in which CPU ticks are counted, not a wait for an event
        assert cpu_ticks(daemon) - spent <= 50, "it doesn't spin"  # which would take 100
        for sock in clients + pending:
            sock.close()
        await_true(lambda: client_again(daemon), "it serves again")


def cpu_ticks(daemon):
    with open(f"/proc/{daemon.pid}/stat", encoding="utf-8") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def case_idle():
    """an idle daemon with connected clients doesn't wake up"""
    with Daemon() as daemon:
        clients = [Client(daemon.path) for _ in range(5)]
        opened = clients[0].open(PUBLISHER, "t")
        await_true(lambda: asleep(daemon), "it doesn't wake up for 1.5 s")
        opened.close()
        for client in clients:
            client.end()


def asleep(daemon):
    """Did the daemon not wake up for 1.5 s? On a busy machine what it had to do before may take some of that."""
    before = daemon.proc("voluntary_ctxt_switches")
    time.sleep(1.5)  # the time in which wake-ups are counted, not a wait for an event
    return daemon.proc("voluntary_ctxt_switches") == before


def case_token_gone():
    """the connection of a client that is proved dead is closed, and its handles are freed"""
    with Daemon(config="[limits]\ngrants = 4\n") as daemon, Client(daemon.path) as witness:
        for i in range(8):
            ghost = Client(daemon.path, "ghost")
            reply = ghost.open(PUBLISHER, "t")
            assert reply.type == lib.OPENED
            reply.close()
            ghost.token.drop()  # as if the process had died, while a forked child kept the connection open
            reply = witness.open(PUBLISHER, "t")
            assert reply.type == lib.OPENED, f"{i}: {getattr(reply, 'text', '')}"
            reply.close()
            witness.give_back(reply.grant_id)
            try:
                ghost.sock.send(lib.packet(lib.OPEN, struct.pack("<II", BEST_EFFORT, 0) + lib.topic_request("t")))
                reply = lib.receive(ghost.sock)
                assert reply is None or reply.type == lib.ERROR, "the dead client is still served"
            except (BrokenPipeError, ConnectionResetError):
                pass
            ghost.end()
        replies = [witness.open(BEST_EFFORT, "t") for _ in range(4)]
        assert [reply.type for reply in replies] == [lib.OPENED] * 4
        for reply in replies:
            reply.close()


def case_live_without_connection():
    """the end of a connection frees nothing; the proof of death does"""
    with Daemon() as daemon, Client(daemon.path) as witness:
        client = Client(daemon.path, "quiet")
        reply = client.open(PUBLISHER, "t", publishers=2)
        reply.close()
        client.sock.close()
        for _ in range(20):
            refused(witness.open(PUBLISHER, "t"), errno.EBUSY, "quiet")
        client.resume(reply.grant_id)
        assert client.welcome.resumed == 1 and client.welcome.client_id == client.id
        refused(witness.open(PUBLISHER, "t"), errno.EBUSY, "quiet")
        client.sock.close()
        client.token.drop()
        taken = witness.open(PUBLISHER, "t")
        assert taken.type == lib.OPENED
        taken.close()


def case_resume():
    """resuming needs the nonce, frees grants whose reply was lost, and closes the older connection"""
    with Daemon() as daemon, Client(daemon.path) as client:
        known = client.open(RELIABLE, "t")
        assert client.create("u", publishers=2).type == lib.DONE
        lost = client.open(PUBLISHER, "u")
        with Client(daemon.path, "thief", (client.id, 1, 2, 0)) as thief:
            assert thief.welcome.resumed == 0 and thief.id != client.id
            refused(thief.open(PUBLISHER, "u"), errno.EBUSY)
        old = client.sock
        client.connect((client.id, *client.nonce, known.grant_id))
        assert client.welcome.resumed == 1
        assert closed(old)
        again = client.open(PUBLISHER, "u")
        assert again.type == lib.OPENED
        assert client.give_back(known.grant_id).type == lib.DONE, "it has kept the grant that it knew"
        refused(client.give_back(lost.grant_id), errno.ENOENT)
        for reply in (known, lost, again):
            reply.close()


lib.run([value for name, value in list(globals().items()) if name.startswith("case_")])
