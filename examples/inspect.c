/* SPDX-License-Identifier: Apache-2.0 */
/* inspect.c - lists topics and their open publishers and subscribers, with or without a running aetherd:  inspect */
#include <aether/aether.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

static const char *role_name(aether_role role) {
    switch (role) {
    case AETHER_ROLE_PUBLISHER:
        return "publisher";
    case AETHER_ROLE_RELIABLE:
        return "reliable";
    case AETHER_ROLE_BEST_EFFORT:
        return "best effort";
    }
    return "unknown";
}

/* Names may hold any byte, also control characters, which a terminal must not get. */
static void print_name(const char *name) {
    for (; *name != '\0'; name++)
        putchar(isprint((unsigned char)*name) ? *name : '?');
}

static int print_peers(aether_inspector *inspector, uint64_t topic_id) {
    aether_peer_info peer;
    uint32_t at = 0;
    int rc;

    while ((rc = aether_inspect_peer(inspector, topic_id, &at, &peer)) > 0) {
        printf("    %-11s  next %" PRIu64 "  lag %" PRIu64 "  ", role_name(peer.role), peer.next, peer.lag);
        print_name(peer.client);
        puts(peer.evicted ? "  evicted" : "");
    }
    return rc;
}

static void print_type(const aether_topic_info *topic) {
    if (topic->type_name[0] == '\0')
        return;
    printf(", type ");
    print_name(topic->type_name);
    printf(" version %" PRIu32 " of %" PRIu32 " bytes", topic->type_version, topic->type_size);
}

static int print_topics(aether_inspector *inspector) {
    aether_topic_info topic;
    uint32_t at = 0;
    int rc;

    while ((rc = aether_inspect_topic(inspector, &at, &topic)) > 0) {
        print_name(topic.name);
        printf("  %" PRIu64 " messages, ring of %" PRIu64 " x %" PRIu32 " bytes, messages of up to %" PRIu32 " bytes",
               topic.messages, topic.capacity, topic.slot_size, topic.max_message);
        print_type(&topic);
        putchar('\n');
        rc = print_peers(inspector, topic.id);
        if (rc < 0)
            break;
    }
    return rc;
}

int main(void) {
    aether_inspector *inspector = NULL;
    aether_daemon_info daemon;
    int rc = aether_inspect_open(&inspector, NULL);

    if (rc == 0)
        rc = aether_inspect_daemon(inspector, &daemon);
    if (rc == 0) {
        printf("aetherd: %s, %" PRIu32 " topics\n", daemon.running ? "running" : "not running", daemon.topics);
        rc = print_topics(inspector);
    }
    if (rc < 0)
        fprintf(stderr, "inspect: %s\n", aether_errmsg());
    aether_inspect_close(inspector);
    return rc < 0;
}
