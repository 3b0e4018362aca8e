/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loan.c - large messages without a copy: the publisher fills them in shared memory, the subscriber reads them there:
 *
 *     loan sub            prints frames until the publisher has closed or died
 *     loan pub [COUNT]    publishes frames of up to 1 MiB (default 10)
 *
 * The size of a frame is known only after the camera has taken it. So the loan is as large as the largest frame, and is
 * shortened before the commit. If the camera fails, the loan is discarded, and no subscriber sees anything of it.
 */
#include <aether/aether.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOPIC "examples/frames"
#define PIXELS_MAX (1u << 20) /* bytes */

/* The beginning of a frame; its pixels follow. */
struct header {
    uint64_t number;
    uint64_t size; /* bytes of pixels */
};

#define FRAME_MAX (sizeof(struct header) + PIXELS_MAX)

/* Fletcher's checksum. */
static uint32_t checksum(const unsigned char *bytes, uint64_t size) {
    uint32_t a = 0, b = 0;

    for (uint64_t i = 0; i < size; i++) {
        a += bytes[i];
        b += a;
    }
    return b << 16 ^ a;
}

static void print_frame(const struct header *header, const unsigned char *pixels) {
    printf("frame %" PRIu64 ": %" PRIu64 " bytes, checksum %08" PRIx32 "\n", header->number, header->size,
           checksum(pixels, header->size));
}

/* In place of a camera. Returns the size of the picture in bytes, or 0 for a failure, which every fifth picture is. */
static uint64_t take_picture(unsigned char *pixels, uint64_t number) {
    const uint64_t size = PIXELS_MAX - number % 5 * 1000;

    for (uint64_t i = 0; i < size; i++)
        pixels[i] = (unsigned char)(i * (number + 1));
    return number % 5 == 4 ? 0 : size;
}

/* Takes a loan for the largest frame; waits while reliable subscribers hold the room. */
static int take_loan(aether_publisher *pub, aether_loan *loan) {
    int rc;

    while ((rc = aether_loan_take(pub, FRAME_MAX, loan)) == AETHER_FULL) {
        if ((rc = aether_publisher_wait(pub, FRAME_MAX, AETHER_FOREVER)) < 0)
            break;
    }
    return rc;
}

static int commit_loan(aether_publisher *pub, aether_loan *loan) {
    int rc;

    while ((rc = aether_loan_commit(pub, loan)) == AETHER_FULL) {
        if ((rc = aether_publisher_wait(pub, 0, AETHER_FOREVER)) < 0) /* its bytes have room: wait for a slot */
            break;
    }
    return rc;
}

/* Takes a picture and publishes it as a frame. */
static int publish_frame(aether_publisher *pub, uint64_t number) {
    aether_loan loan;
    int rc = take_loan(pub, &loan);

    if (rc != 0)
        return rc;
    unsigned char *pixels = (unsigned char *)loan.data + sizeof(struct header);
    const struct header header = {.number = number, .size = take_picture(pixels, number)};
    if (header.size == 0) {
        printf("no frame %" PRIu64 "\n", number);
        return aether_loan_discard(pub, &loan);
    }
    memcpy(loan.data, &header, sizeof header);
    print_frame(&header, pixels); /* before the commit: afterwards it belongs to the subscribers */
    loan.len = sizeof header + header.size;
    return commit_loan(pub, &loan);
}

static int publish(aether_client *client, uint64_t count) {
    const aether_topic_config config = {.max_message = FRAME_MAX};
    aether_publisher *pub;
    int rc = aether_publisher_open(client, TOPIC, &config, &pub);

    for (uint64_t i = 0; rc == 0 && i < count; i++)
        rc = publish_frame(pub, i);
    return rc; /* aether_disconnect() closes the publisher: subscribers see the end of the stream */
}

/*
 * Reads a frame where it lies. The header is copied and then checked: it is another process's memory, which may change.
 */
static void read_frame(const aether_message *m) {
    struct header header;

    if (m->lost > 0) {
        printf("%" PRIu64 " frames lost\n", m->lost); /* retained frames that were overwritten first */
        return;
    }
    if (m->len >= sizeof header)
        memcpy(&header, m->data, sizeof header);
    if (m->len < sizeof header || header.size != m->len - sizeof header)
        printf("a message of %zu bytes is no frame\n", m->len);
    else
        print_frame(&header, (const unsigned char *)m->data + sizeof header);
}

static int subscribe(aether_client *client) {
    const aether_topic_config config = {.max_message = FRAME_MAX};
    const aether_subscribe_options options = {.policy = AETHER_RELIABLE, .from = AETHER_FROM_OLDEST};
    aether_subscriber *sub;
    aether_message m;
    int rc = aether_subscriber_open(client, TOPIC, &options, &config, &sub);

    if (rc < 0)
        return rc;
    while ((rc = aether_receive_wait(sub, &m, AETHER_FOREVER)) >= 0) {
        if (rc > 0)
            read_frame(&m); /* publishers don't overwrite it before the next receive */
        else if (aether_subscriber_stream(sub) >= AETHER_STREAM_CLOSED)
            break;
    }
    return rc;
}

int main(int argc, char **argv) {
    const uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 10;
    aether_client *client = NULL;
    int rc;

    if (argc < 2 || (strcmp(argv[1], "pub") != 0 && strcmp(argv[1], "sub") != 0)) {
        fprintf(stderr, "usage: loan {pub [COUNT] | sub}\n");
        return 2;
    }
    rc = aether_connect(&client, NULL);
    if (rc == 0)
        rc = strcmp(argv[1], "pub") == 0 ? publish(client, count) : subscribe(client);
    if (rc < 0)
        fprintf(stderr, "loan: %s\n", aether_errmsg());
    aether_disconnect(client); /* closes what is still open */
    return rc != 0;
}
