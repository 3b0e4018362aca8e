/* SPDX-License-Identifier: Apache-2.0 */
/* topic_options.c - from words to aether_topic_config. */
#include "topic_options.h"
#include "daemon.h"
#include "error.h"
#include "inspect.h"
#include "signals.h"
#include <errno.h>
#include <string.h>

const char *const topic_preset_names[] = {"small", "default", "throughput", NULL};
const char *const topic_create_options[] = {"inline", "capacity", "lane", "preset", "slow", "evict-lag", NULL};

/* NAME[:VERSION[:SIZE]]. The name may hold "::", as names of C++ and Rust do. */
static bool read_type(struct topic_options *options) {
    const char *end = options->type;
    const char *size;
    char version[32] = "";
    uint64_t n = 0, bytes = 0;

    while (*end != '\0' && (end[0] != ':' || end[1] == ':'))
        end += *end == ':' ? 2 : 1;
    const size_t len = (size_t)(end - options->type);
    if (len == 0 || len >= sizeof options->type_name)
        return false;
    memcpy(options->type_name, options->type, len);
    options->type_name[len] = '\0';
    options->config.type_name = options->type_name;
    if (*end == '\0')
        return true;
    size = strchr(end + 1, ':');
    const size_t version_len = size != NULL ? (size_t)(size - end - 1) : strlen(end + 1);
    if (version_len >= sizeof version)
        return false;
    memcpy(version, end + 1, version_len);
    if (!args_count(version, &n) || n > UINT32_MAX || (size != NULL && !args_size(size + 1, &bytes)) ||
        bytes > UINT32_MAX)
        return false;
    options->config.type_version = (uint32_t)n;
    options->config.type_size = (uint32_t)bytes;
    return true;
}

int topic_options_read(struct topic_options *options) {
    /* A choice's value is 1 more than its index: 0 states nothing. */
    options->config.preset = (aether_preset)(options->preset_given ? options->preset + 1 : 0);
    options->config.publishers = (aether_publishers)(options->publishers_given ? options->publishers + 1 : 0);
    options->config.slow = (aether_slow)(options->slow_given ? options->slow + 1 : 0);
    options->config.latency = (aether_latency_mode)(options->latency_given ? options->latency + 1 : 0);
    if (options->config.evict_lag != 0) {
        if (options->config.slow == AETHER_SLOW_WAIT)
            return cli_error(CLI_USAGE, "--slow wait and --evict-lag exclude each other: use --slow evict");
        options->config.slow = AETHER_SLOW_EVICT;
    }
    if (options->existing && options->await)
        return cli_error(CLI_USAGE, "--existing and --await exclude each other: --await waits until the topic exists");
    options->config.open = options->existing || options->await ? AETHER_OPEN_EXISTING : AETHER_OPEN_ANY;
    if (options->type != NULL && !read_type(options))
        return cli_error(
            CLI_USAGE,
            "--type '%s': use NAME[:VERSION[:SIZE]], such as quote:2:64: a name of at most 63 bytes, a whole "
            "number, a size in bytes",
            options->type);
    return CLI_OK;
}

bool topic_may_return(int rc) {
    return cli_is_absent(rc) || rc == -ECONNRESET || rc == -ETIMEDOUT;
}

/* The time that is left until an instant. */
static uint64_t left_until(uint64_t until_ns) {
    const uint64_t now = cli_now_ns();

    return until_ns == AETHER_FOREVER ? AETHER_FOREVER : until_ns > now ? until_ns - now : 0;
}

/*
 * Waits for the topic. aether_topic_wait() goes on while aetherd restarts, but it can't begin while no aetherd runs, or
 * it doesn't answer: then this waits for aetherd, and says so once. *away: that wait was in vain, and aether_errmsg()
 * says why. 1: the topic exists; 0: try again; negative: the library's error.
 */
static int wait_for_topic(aether_client *client, const char *topic, uint64_t until_ns, bool *said_away, bool *away) {
    int rc = aether_topic_wait(client, topic, left_until(until_ns));

    *away = topic_may_return(rc);
    if (!*away)
        return rc;
    if (!*said_away)
        cli_error(CLI_OK, "waiting for topic '%s': %s", topic, aether_errmsg());
    *said_away = true;
    const aether_connect_options options = {.socket_path = cli_socket(), .wait_ns = left_until(until_ns)};
    aether_pong pong;
    if (options.wait_ns == 0)
        return 0;
    rc = aether_ping(&options, &pong);
    *away = rc < 0;
    return rc < 0 && !topic_may_return(rc) ? rc : 0;
}

int topic_await(aether_client *client, const char *topic, uint64_t deadline_ns) {
    const uint64_t say_ns = cli_now_ns() + TOPIC_WAITING_NS;
    bool said = false, said_away = false, away;
    for (;;) {
        const uint64_t until = !said && say_ns < deadline_ns ? say_ns : deadline_ns;
        const int rc = wait_for_topic(client, topic, until, &said_away, &away);
        if (rc < 0)
            return cli_library_error(rc);
        if (rc > 0)
            return CLI_OK;
        const uint64_t now = cli_now_ns();
        if (now >= deadline_ns && away)
            return cli_error(CLI_TIMEOUT, "--timeout was over: %s", aether_errmsg());
        if (!said && now >= say_ns && now < deadline_ns) {
            said = true;
            say_waiting_for(topic);
        }
        if (cli_now_ns() >= deadline_ns)
            return cli_error(CLI_TIMEOUT, "--timeout was over: topic '%s' doesn't exist", topic);
    } /* a signal, such as SIGCONT, may have ended a wait */
}
