/* SPDX-License-Identifier: Apache-2.0 */
#include "protocol/message.h"
#include <aether/error.h>
#include <stdlib.h>
#include <string.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define MUTATIONS 2000000

#define TYPES 12

static const struct ae_topic_request sample_request = {.topic = "market/eur",
                                                       .max_message = 0x1112131415161718,
                                                       .inline_max = 0x4142434445464748,
                                                       .capacity = 0x2122232425262728,
                                                       .lane_bytes = 0x5152535455565758,
                                                       .evict_lag = 0x6162636465666768,
                                                       .start_seq = 0xf1f2f3f4f5f6f7f8,
                                                       .preset = 0x31323334,
                                                       .publishers = 0xa1a2a3a4,
                                                       .slow = 0x71727374,
                                                       .latency = 0xb1b2b3b4,
                                                       .type_version = 0x81828384,
                                                       .type_size = 0x91929394,
                                                       .type_name = "quote"};

/* One message of each type. Within a message no two fields have the same value. */
static struct ae_msg sample(uint16_t type) {
    struct ae_msg m = {.type = type, .version = AE_PROTOCOL_VERSION, .request = 0x87654321u + type};

    switch (type) {
    case AE_MSG_HELLO:
        m.u.hello.resume_id = 0x0102030405060708;
        m.u.hello.resume_nonce[0] = 0x1112131415161718;
        m.u.hello.resume_nonce[1] = 0x2122232425262728;
        m.u.hello.resume_grant = 0x3132333435363738;
        strcpy(m.u.hello.name, "quotes \xc3\xa4");
        break;
    case AE_MSG_WELCOME:
        m.u.welcome.client_id = 0x0102030405060708;
        m.u.welcome.nonce[0] = 0x1112131415161718;
        m.u.welcome.nonce[1] = 0x2122232425262728;
        m.u.welcome.resumed = 1;
        m.u.welcome.daemon_pid = 4711;
        break;
    case AE_MSG_OPEN:
        m.u.open.role = AE_ROLE_RELIABLE;
        m.u.open.flags = AE_OPEN_EXISTING;
        m.u.open.topic = sample_request;
        break;
    case AE_MSG_OPENED:
        m.u.opened.grant_id = 0x0102030405060708;
        m.u.opened.topic_id = 0x1112131415161718;
        m.u.opened.role = AE_ROLE_BEST_EFFORT;
        m.u.opened.record = 63;
        m.u.opened.stats = 64;
        m.u.opened.shape = 2;
        m.u.opened.registry_off = 0x2122232425262728;
        m.u.opened.geometry = (ae_geometry){1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
        break;
    case AE_MSG_CLOSE:
        m.u.close.grant_id = 0x0102030405060708;
        break;
    case AE_MSG_CREATE:
        m.u.create = sample_request;
        break;
    case AE_MSG_REMOVE:
        strcpy(m.u.remove.topic, "a/b");
        break;
    case AE_MSG_LOOK:
        m.u.look.kind = AE_LOOK_STATS;
        m.u.look.id = 0x0102030405060708;
        break;
    case AE_MSG_OBJECT:
        m.u.object.pid = 0x31323334;
        m.u.object.uid = 0x41424344;
        m.u.object.bytes = 0x0102030405060708;
        strcpy(m.u.object.prefix, "/aether-0-1.");
        strcpy(m.u.object.socket_path, "/s");
        break;
    case AE_MSG_ERROR:
        m.u.error.code = -EEXIST;
        strcpy(m.u.error.text, "topic \"a\" has 8 slots, not 16");
        break;
    default:
        break;
    }
    return m;
}

static size_t packet(uint16_t type, uint8_t buf[AE_PACKET_MAX]) {
    const struct ae_msg m = sample(type);
    const int len = ae_msg_encode(&m, buf, AE_PACKET_MAX);

    assert_true(len >= 12);
    return (size_t)len;
}

/* Decodes from a block of exactly len bytes, so that a sanitizer reports any read beyond it. */
static int decode(struct ae_msg *msg, const uint8_t *buf, size_t len) {
    uint8_t *exact = malloc(len != 0 ? len : 1);
    int rc;

    assert_non_null(exact);
    memcpy(exact, buf, len);
    rc = ae_msg_decode(msg, exact, len);
    free(exact);
    assert_true(rc == 0 || rc == -EPROTO);
    return rc;
}

static void set_u16(uint8_t *at, unsigned int value) {
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static void every_type_round_trips(void **state) {
    uint8_t buf[AE_PACKET_MAX];
    struct ae_msg out;

    (void)state;
    for (uint16_t type = 1; type <= TYPES; type++) {
        const struct ae_msg in = sample(type);
        const size_t len = packet(type, buf);
        assert_int_equal(decode(&out, buf, len), 0);
        assert_memory_equal(&in, &out, sizeof in); /* padding is equal, too: both were zeroed first */
        assert_int_equal(ae_msg_encode(&in, buf, len), (int)len);
        assert_int_equal(ae_msg_encode(&in, buf, len - 1), -EMSGSIZE);
        assert_int_equal(ae_msg_encode(&in, buf, 0), -EMSGSIZE);
    }
}

static void bytes_are_as_documented(void **state) {
    static const uint8_t close_packet[] = {5, 0, 5,    0,    0x26, 0x43, 0x65, 0x87, 20,   0,
                                           0, 0, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01};
    static const uint8_t remove_packet[] = {7, 0, 5, 0, 0x28, 0x43, 0x65, 0x87, 17, 0, 0, 0, 3, 0, 'a', '/', 'b'};
    static const uint8_t look_packet[] = {11, 0, 5, 0, 0x2c, 0x43, 0x65, 0x87, 24,   0,    0,    0,
                                          3,  0, 0, 0, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01};
    static const uint8_t object[] = {0x34, 0x33, 0x32, 0x31, 0x44, 0x43, 0x42, 0x41, 0x08, 0x07, 0x06, 0x05,
                                     0x04, 0x03, 0x02, 0x01, 12,   0,    '/',  'a',  'e',  't',  'h',  'e',
                                     'r',  '-',  '0',  '-',  '1',  '.',  2,    0,    '/',  's'};
    static const uint8_t request[] = {
        10,   0,    'm',  'a',  'r',  'k',  'e',  't',  '/', 'e', 'u', 'r',               /* topic */
        0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11,                                   /* max_message */
        0x48, 0x47, 0x46, 0x45, 0x44, 0x43, 0x42, 0x41,                                   /* inline_max */
        0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21,                                   /* capacity */
        0x58, 0x57, 0x56, 0x55, 0x54, 0x53, 0x52, 0x51,                                   /* lane_bytes */
        0x68, 0x67, 0x66, 0x65, 0x64, 0x63, 0x62, 0x61,                                   /* evict_lag */
        0xf8, 0xf7, 0xf6, 0xf5, 0xf4, 0xf3, 0xf2, 0xf1,                                   /* start_seq */
        0x34, 0x33, 0x32, 0x31,                                                           /* preset */
        0xa4, 0xa3, 0xa2, 0xa1, 0x74, 0x73, 0x72, 0x71,                                   /* publishers, slow */
        0xb4, 0xb3, 0xb2, 0xb1,                                                           /* latency */
        0x84, 0x83, 0x82, 0x81, 0x94, 0x93, 0x92, 0x91, 5,   0,   'q', 'u', 'o', 't', 'e' /* type */
    };
    uint8_t buf[AE_PACKET_MAX];

    (void)state;
    assert_int_equal(packet(AE_MSG_CREATE, buf), 12 + sizeof request);
    assert_memory_equal(buf + 12, request, sizeof request);
    assert_int_equal(packet(AE_MSG_OPEN, buf), 20 + sizeof request);
    assert_memory_equal(buf + 12, ((const uint8_t[]){2, 0, 0, 0, 1, 0, 0, 0}), 8);
    assert_memory_equal(buf + 20, request, sizeof request);
    assert_int_equal(packet(AE_MSG_OPENED, buf), 140);
    assert_memory_equal(buf + 28, ((const uint8_t[]){3, 0, 0, 0, 63, 0, 0, 0, 64, 0, 0, 0, 2, 0, 0, 0}), 16);
    assert_memory_equal(buf + 44, ((const uint8_t[]){0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21}), 8);
    for (uint8_t i = 0; i < 9; i++) {
        const uint8_t field[8] = {(uint8_t)(i + 1)};
        assert_memory_equal(buf + 52 + (size_t)i * 8, field, sizeof field);
    }
    assert_memory_equal(buf + 124, ((const uint8_t[]){10, 0, 0, 0, 11, 0, 0, 0, 12, 0, 0, 0, 13, 0, 0, 0}), 16);
    assert_int_equal(packet(AE_MSG_CLOSE, buf), sizeof close_packet);
    assert_memory_equal(buf, close_packet, sizeof close_packet);
    assert_int_equal(packet(AE_MSG_REMOVE, buf), sizeof remove_packet);
    assert_memory_equal(buf, remove_packet, sizeof remove_packet);
    assert_int_equal(packet(AE_MSG_LOOK, buf), sizeof look_packet);
    assert_memory_equal(buf, look_packet, sizeof look_packet);
    assert_int_equal(packet(AE_MSG_OBJECT, buf), 12 + sizeof object);
    assert_memory_equal(buf + 12, object, sizeof object);
}

static void every_other_length_is_refused(void **state) {
    uint8_t buf[AE_PACKET_MAX + 1];
    struct ae_msg out;

    (void)state;
    for (uint16_t type = 1; type <= TYPES; type++) {
        memset(buf, 0, sizeof buf);
        const size_t len = packet(type, buf);
        for (size_t other = 0; other <= sizeof buf; other++) {
            if (other == len)
                continue;
            set_u16(buf + 8, (unsigned int)len);
            assert_int_equal(decode(&out, buf, other), -EPROTO);
            set_u16(buf + 8, (unsigned int)other); /* now the header agrees with the packet, but the fields don't */
            assert_int_equal(decode(&out, buf, other), -EPROTO);
        }
    }
}

static void other_versions(void **state) {
    static const unsigned int versions[] = {0, 1, 4, 6, 0x0505, 0xffff};
    uint8_t buf[AE_PACKET_MAX];
    struct ae_msg out;

    (void)state;
    for (uint16_t type = 1; type <= TYPES; type++) {
        const size_t len = packet(type, buf);
        for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
            set_u16(buf + 2, versions[i]);
            if (type == AE_MSG_HELLO || type == AE_MSG_ERROR) {
                assert_int_equal(decode(&out, buf, len), 0);
                assert_int_equal(out.version, versions[i]);
            } else {
                assert_int_equal(decode(&out, buf, len), -EPROTO);
                assert_non_null(strstr(aether_errmsg(), "version"));
            }
        }
    }
}

static void other_types(void **state) {
    uint8_t buf[AE_PACKET_MAX];
    struct ae_msg out, in = {.type = 0};

    (void)state;
    for (unsigned int type = 0; type <= 0xffff; type++) {
        if (type >= 1 && type <= TYPES)
            continue;
        const size_t len = packet(AE_MSG_DONE, buf);
        set_u16(buf, type);
        assert_int_equal(decode(&out, buf, len), -EPROTO);
    }
    assert_int_equal(ae_msg_encode(&in, buf, sizeof buf), -EINVAL);
    in.type = TYPES + 1;
    assert_int_equal(ae_msg_encode(&in, buf, sizeof buf), -EINVAL);
}

static void strings_at_their_bounds(void **state) {
    uint8_t buf[AE_PACKET_MAX];
    struct ae_msg out, topic = sample(AE_MSG_REMOVE), open = sample(AE_MSG_OPEN), hello = sample(AE_MSG_HELLO),
                       error = sample(AE_MSG_ERROR);

    (void)state;
    memset(topic.u.remove.topic, 't', AE_TOPIC_NAME_MAX);
    assert_int_equal(ae_msg_encode(&topic, buf, sizeof buf), 12 + 2 + 255);
    assert_int_equal(decode(&out, buf, 12 + 2 + 255), 0);
    assert_string_equal(out.u.remove.topic, topic.u.remove.topic);
    topic.u.remove.topic[AE_TOPIC_NAME_MAX] = 't'; /* not terminated */
    assert_int_equal(ae_msg_encode(&topic, buf, sizeof buf), -EINVAL);
    topic.u.remove.topic[0] = '\0'; /* a wrong name, which only the broker refuses */
    assert_int_equal(ae_msg_encode(&topic, buf, sizeof buf), 12 + 2);
    assert_int_equal(decode(&out, buf, 12 + 2), 0);
    assert_string_equal(out.u.remove.topic, "");

    /* The longest request. */
    memset(open.u.open.topic.topic, 0xff, AE_TOPIC_NAME_MAX);
    memset(open.u.open.topic.type_name, 0xff, AE_TYPE_NAME_MAX);
    assert_int_equal(ae_msg_encode(&open, buf, sizeof buf), 12 + 8 + 2 + 255 + 72 + 2 + 63);
    assert_int_equal(decode(&out, buf, 12 + 8 + 2 + 255 + 72 + 2 + 63), 0);
    assert_memory_equal(&out.u.open, &open.u.open, sizeof open.u.open);
    open.u.open.topic.type_name[AE_TYPE_NAME_MAX] = 't'; /* not terminated */
    assert_int_equal(ae_msg_encode(&open, buf, sizeof buf), -EINVAL);
    open.u.open.topic.type_name[0] = '\0'; /* no type is allowed */
    assert_int_equal(ae_msg_encode(&open, buf, sizeof buf), 12 + 8 + 2 + 255 + 72 + 2);
    assert_int_equal(decode(&out, buf, 12 + 8 + 2 + 255 + 72 + 2), 0);
    assert_string_equal(out.u.open.topic.type_name, "");

    memset(hello.u.hello.name, 'n', AE_CLIENT_NAME_MAX);
    assert_int_equal(ae_msg_encode(&hello, buf, sizeof buf), 12 + 32 + 2 + 63);
    assert_int_equal(decode(&out, buf, 12 + 32 + 2 + 63), 0);
    assert_string_equal(out.u.hello.name, hello.u.hello.name);
    hello.u.hello.name[AE_CLIENT_NAME_MAX] = 'n';
    assert_int_equal(ae_msg_encode(&hello, buf, sizeof buf), -EINVAL);
    hello.u.hello.name[0] = '\0'; /* no name is allowed */
    assert_int_equal(ae_msg_encode(&hello, buf, sizeof buf), 12 + 32 + 2);
    assert_int_equal(decode(&out, buf, 12 + 32 + 2), 0);

    memset(error.u.error.text, 'e', AE_TEXT_MAX);
    assert_int_equal(ae_msg_encode(&error, buf, sizeof buf), 12 + 4 + 2 + 511);
    assert_int_equal(decode(&out, buf, 12 + 4 + 2 + 511), 0);
    assert_string_equal(out.u.error.text, error.u.error.text);
}

static void hostile_strings(void **state) {
    uint8_t buf[AE_PACKET_MAX] = {0};
    struct ae_msg out;
    size_t len = packet(AE_MSG_REMOVE, buf);

    (void)state;
    buf[15] = 0; /* a NUL inside */
    assert_int_equal(decode(&out, buf, len), -EPROTO);
    packet(AE_MSG_REMOVE, buf);
    for (unsigned int stated = 0; stated <= 0xffff; stated++) {
        set_u16(buf + 12, stated);
        assert_int_equal(decode(&out, buf, len), stated == 3 ? 0 : -EPROTO);
    }
    /* The packet has these 256 bytes, but that is one byte too many for a topic. */
    memset(buf + 14, 'x', 256);
    set_u16(buf + 8, 14 + 256);
    set_u16(buf + 12, 256);
    assert_int_equal(decode(&out, buf, 14 + 256), -EPROTO);

    len = packet(AE_MSG_HELLO, buf);
    memcpy(buf + len - 5, "\n\x1b[2J", 5);
    assert_int_equal(decode(&out, buf, len), 0);
    assert_string_equal(out.u.hello.name, "quot??[2J");
    for (int i = 0; i < 2; i++) {
        const uint16_t type = i == 0 ? AE_MSG_OPEN : AE_MSG_CREATE;
        const struct ae_topic_request *request = type == AE_MSG_OPEN ? &out.u.open.topic : &out.u.create;
        len = packet(type, buf);
        memcpy(buf + len - 5, "\x7f\x1b[2J", 5);
        assert_int_equal(decode(&out, buf, len), 0);
        assert_string_equal(request->type_name, "??[2J");
        buf[len - 1] = '\0';
        assert_int_equal(decode(&out, buf, len), -EPROTO);
        set_u16(buf + len - 7, 4); /* a byte is left over */
        buf[len - 1] = 'J';
        assert_int_equal(decode(&out, buf, len), -EPROTO);
        /* The packet has these 64 bytes, but that is one byte too many for a type. */
        memset(buf + len - 5, 'x', 64);
        set_u16(buf + len - 7, 64);
        set_u16(buf + 8, (unsigned int)len - 5 + 64);
        assert_int_equal(decode(&out, buf, len - 5 + 64), -EPROTO);
        set_u16(buf + len - 7, 63);
        set_u16(buf + 8, (unsigned int)len - 5 + 63);
        assert_int_equal(decode(&out, buf, len - 5 + 63), 0);
    }
    len = packet(AE_MSG_ERROR, buf);
    buf[18] = '\r';
    assert_int_equal(decode(&out, buf, len), 0);
    assert_int_equal(out.u.error.text[0], '?');
}

/* Encoding `in` must fail, and so must decoding a packet with that value in the u32 at offset off. */
static void value_refused(struct ae_msg in, size_t off, uint32_t value) {
    uint8_t buf[AE_PACKET_MAX];
    struct ae_msg out;
    const size_t len = packet(in.type, buf);

    assert_int_equal(ae_msg_encode(&in, buf, sizeof buf), -EINVAL);
    packet(in.type, buf);
    set_u16(buf + off, value & 0xffff);
    set_u16(buf + off + 2, value >> 16);
    assert_int_equal(decode(&out, buf, len), -EPROTO);
}

static void values_are_checked(void **state) {
    static const uint32_t roles[] = {0, 4, 0x10001, UINT32_MAX};
    static const int32_t codes[] = {0, 1, INT32_MAX, -4096, INT32_MIN};
    struct ae_msg open = sample(AE_MSG_OPEN), opened = sample(AE_MSG_OPENED), welcome = sample(AE_MSG_WELCOME),
                  look = sample(AE_MSG_LOOK), error = sample(AE_MSG_ERROR);

    (void)state;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        open.u.open.role = opened.u.opened.role = roles[i];
        value_refused(open, 12, roles[i]);
        value_refused(opened, 28, roles[i]);
    }
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        error.u.error.code = codes[i];
        value_refused(error, 12, (uint32_t)codes[i]);
    }
    open = sample(AE_MSG_OPEN);
    open.u.open.flags = 2;
    value_refused(open, 16, 2);
    opened = sample(AE_MSG_OPENED);
    opened.u.opened.shape = 3;
    value_refused(opened, 40, 3);
    look.u.look.kind = 5;
    value_refused(look, 12, 5);
    welcome.u.welcome.resumed = 2;
    value_refused(welcome, 36, 2);
}

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint32_t next_random(uint32_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)((random_state >> 32) % below);
}

/* A message that was accepted encodes to the same length, and decoding and encoding it again gives the same bytes. */
static void accepted_is_sound(const struct ae_msg *msg, size_t len) {
    uint8_t first[AE_PACKET_MAX], second[AE_PACKET_MAX];
    struct ae_msg again;

    assert_int_equal(ae_msg_encode(msg, first, sizeof first), (int)len);
    assert_int_equal(decode(&again, first, len), 0);
    assert_int_equal(ae_msg_encode(&again, second, sizeof second), (int)len);
    assert_memory_equal(first, second, len);
}

static void mutations_never_crash(void **state) {
    uint8_t originals[TYPES][AE_PACKET_MAX] = {{0}}, buf[AE_PACKET_MAX];
    size_t lens[TYPES];
    unsigned int accepted = 0;
    struct ae_msg out;

    (void)state;
    for (uint16_t i = 0; i < TYPES; i++)
        lens[i] = packet((uint16_t)(i + 1), originals[i]);
    for (int i = 0; i < MUTATIONS; i++) {
        const uint32_t which = next_random(TYPES);
        size_t len = lens[which];
        memcpy(buf, originals[which], sizeof buf);
        if (next_random(8) == 0) { /* another length, and the header states it */
            len = next_random(AE_PACKET_MAX + 1);
            set_u16(buf + 8, (unsigned int)len);
        }
        for (uint32_t flips = 1 + next_random(4); flips > 0 && len > 0; flips--) {
            const uint32_t bit = next_random((uint32_t)len * 8);
            buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        const int rc = ae_msg_decode(&out, buf, len);
        assert_true(rc == 0 || rc == -EPROTO);
        if (rc == 0 && ++accepted % 64 == 0)
            accepted_is_sound(&out, len);
    }
    assert_true(accepted > MUTATIONS / 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_round_trips),
        cmocka_unit_test(bytes_are_as_documented),
        cmocka_unit_test(every_other_length_is_refused),
        cmocka_unit_test(other_versions),
        cmocka_unit_test(other_types),
        cmocka_unit_test(strings_at_their_bounds),
        cmocka_unit_test(hostile_strings),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(mutations_never_crash),
    };

    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
