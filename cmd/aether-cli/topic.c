/* SPDX-License-Identifier: Apache-2.0 */
/* topic.c - topic ls, info, create, rm. The first two read shared memory by themselves and need no daemon. */
#include "topic.h"
#include "args.h"
#include "commands.h"
#include "daemon.h"
#include "dispatch.h"
#include "error.h"
#include "output.h"
#include "view/amount.h"
#include "view/escape.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define REALTIME_SIZE 32

const char *const preset_names[] = {"default", "throughput", NULL};
const char *const publishers_names[] = {"shared", "exclusive", "unbiased", NULL};
const char *const slow_names[] = {"wait", "evict", NULL};

/* ---- what stats uses too ----------------------------------------------------------------------------------------- */

int inspect_open(aether_inspector **inspector) {
    const int rc = aether_inspect_open(inspector, cli_socket());

    if (rc == 0)
        return CLI_OK;
    *inspector = NULL;
    if (rc == -ENOENT)
        return cli_error(CLI_NO_DAEMON, "no aetherd at %s, and none has left topics there: start it with: %s",
                         cli_socket(), cli_start_command());
    return cli_error(CLI_FAILURE, "%s", aether_errmsg());
}

/* As --publishers takes it. */
static const char *admits_name(const aether_topic_info *t) {
    return t->admits <= AETHER_PUBLISHERS_UNBIASED ? publishers_names[t->admits] : "?";
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct topic *)a)->info.name, ((const struct topic *)b)->info.name);
}

/* Evicted peers; 0 also if they can't be read. */
static uint32_t count_evicted(aether_inspector *inspector, const aether_topic_info *topic) {
    aether_peer_info peer;
    uint32_t cursor = 0, count = 0;

    while (topic->evict_lag != 0 && aether_inspect_peer(inspector, topic->id, &cursor, &peer) == 1)
        count += peer.evicted != 0;
    return count;
}

int topics_read(aether_inspector *inspector, struct topics *topics) {
    uint32_t cursor = 0;
    size_t room = 0;
    int rc;

    memset(topics, 0, sizeof *topics);
    for (;;) {
        if (topics->count == room) {
            room = room > 0 ? room * 2 : 32;
            struct topic *more = realloc(topics->list, room * sizeof *more);
            if (more == NULL) {
                topics_free(topics);
                return cli_error(CLI_FAILURE, "out of memory for the list of topics");
            }
            topics->list = more;
        }
        struct topic *topic = &topics->list[topics->count];
        rc = aether_inspect_topic(inspector, &cursor, &topic->info);
        if (rc <= 0)
            break;
        topic->evicted = count_evicted(inspector, &topic->info);
        topics->count++;
    }
    if (rc < 0) {
        topics_free(topics);
        return cli_error(CLI_FAILURE, "%s", aether_errmsg());
    }
    qsort(topics->list, topics->count, sizeof *topics->list, by_name);
    return CLI_OK;
}

void topics_free(struct topics *topics) {
    free(topics->list);
    topics->list = NULL;
    topics->count = 0;
}

const struct topic *topics_find(const struct topics *topics, const char *name) {
    size_t low = 0, high = topics->count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = strcmp(name, topics->list[middle].info.name);
        if (order == 0)
            return &topics->list[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

bool json_topic(json_t *object, const struct topic *topic) {
    const aether_topic_info *t = &topic->info;

    return out_json_bytes(object, "topic", t->name, strlen(t->name)) &&
           json_object_set_new(object, "id", out_json_u64(t->id)) == 0 &&
           json_object_set_new(object, "created_ns", out_json_u64(t->created_ns)) == 0 &&
           json_object_set_new(object, "start_seq", out_json_u64(t->start_seq)) == 0 &&
           json_object_set_new(object, "next_seq", out_json_u64(t->next_seq)) == 0 &&
           json_object_set_new(object, "messages", out_json_u64(t->messages)) == 0 &&
           json_object_set_new(object, "publishers", out_json_u64(t->publishers)) == 0 &&
           json_object_set_new(object, "publishers_mode", json_string(admits_name(t))) == 0 &&
           json_object_set_new(object, "joins", out_json_u64(t->joins)) == 0 &&
           json_object_set_new(object, "reliable", out_json_u64(t->reliable)) == 0 &&
           json_object_set_new(object, "best_effort", out_json_u64(t->best_effort)) == 0 &&
           json_object_set_new(object, "evicted", out_json_u64(topic->evicted)) == 0 &&
           json_object_set_new(object, "lag", out_json_u64(t->max_lag)) == 0 &&
           json_object_set_new(object, "full", out_json_u64(t->full)) == 0 &&
           json_object_set_new(object, "capacity", out_json_u64(t->capacity)) == 0 &&
           json_object_set_new(object, "slot_size", out_json_u64(t->slot_size)) == 0 &&
           json_object_set_new(object, "max_message", out_json_u64(t->max_message)) == 0 &&
           json_object_set_new(object, "inline_max", out_json_u64(t->inline_max)) == 0 &&
           json_object_set_new(object, "lane_bytes", out_json_u64(t->lane_bytes)) == 0 &&
           json_object_set_new(object, "slow", json_string(slow_names[t->evict_lag != 0])) == 0 &&
           json_object_set_new(object, "evict_lag", out_json_u64(t->evict_lag)) == 0 &&
           out_json_bytes(object, "type_name", t->type_name, strlen(t->type_name)) &&
           json_object_set_new(object, "type_version", out_json_u64(t->type_version)) == 0 &&
           json_object_set_new(object, "type_size", out_json_u64(t->type_size)) == 0 &&
           json_object_set_new(object, "memory_bytes", out_json_u64(t->memory_bytes)) == 0;
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

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
    options->config.preset = (aether_preset)options->preset;
    options->config.publishers = (aether_publishers)options->publishers;
    options->config.slow = (aether_slow)options->slow;
    if (options->config.evict_lag != 0) {
        if (options->slow_given && options->slow == AETHER_SLOW_WAIT)
            return cli_error(CLI_USAGE, "--slow wait and --evict-lag exclude each other: use --slow evict");
        options->config.slow = AETHER_SLOW_EVICT;
    }
    if (options->type != NULL && !read_type(options))
        return cli_error(
            CLI_USAGE,
            "--type '%s': use NAME[:VERSION[:SIZE]], such as quote:2:64: a name of at most 63 bytes, a whole "
            "number, a size in bytes",
            options->type);
    return CLI_OK;
}

/* ---- ls ---------------------------------------------------------------------------------------------------------- */

#define TYPE_SIZE (sizeof((aether_topic_info *)0)->type_name + 24)

/* As --type takes it; "-" if the topic has none. */
static void type_text(char text[TYPE_SIZE], const aether_topic_info *t) {
    if (t->type_name[0] == '\0')
        (void)snprintf(text, TYPE_SIZE, "-");
    else if (t->type_size == 0)
        (void)snprintf(text, TYPE_SIZE, "%s:%" PRIu32, t->type_name, t->type_version);
    else
        (void)snprintf(text, TYPE_SIZE, "%s:%" PRIu32 ":%" PRIu32, t->type_name, t->type_version, t->type_size);
}

static void print_list(const struct topics *topics) {
    struct ae_table table;
    char size[AE_AMOUNT_SIZE], memory[AE_AMOUNT_SIZE], type[TYPE_SIZE];

    ae_table_init(&table, "TOPIC|>MESSAGES|>NEXT|>PUB|>RELIABLE|>BEST EFFORT|>MAX MESSAGE|>SLOTS|>MEMORY|SLOW|TYPE");
    for (size_t i = 0; i < topics->count; i++) {
        const aether_topic_info *t = &topics->list[i].info;
        ae_table_text(&table, t->name, strlen(t->name));
        ae_table_cell(&table, "%" PRIu64, t->messages);
        ae_table_cell(&table, "%" PRIu64, t->next_seq);
        ae_table_cell(&table, "%" PRIu32, t->publishers);
        ae_table_cell(&table, "%" PRIu32, t->reliable);
        ae_table_cell(&table, "%" PRIu32, t->best_effort);
        ae_table_cell(&table, "%s", ae_amount_bytes(size, t->max_message));
        ae_table_cell(&table, "%" PRIu64, t->capacity);
        ae_table_cell(&table, "%s", ae_amount_bytes(memory, t->memory_bytes));
        ae_table_cell(&table, "%s", slow_names[t->evict_lag != 0]);
        type_text(type, t);
        ae_table_text(&table, type, strlen(type));
    }
    out_print_table(&table);
}

static int topic_ls(int argc, char **argv) {
    bool json = false;
    const struct args_option options[] = {
        {.name = "json", .kind = ARGS_FLAG, .target = &json, .help = "one object a line for each topic"},
    };
    const struct args_spec spec = {.command = "topic ls",
                                   .words = "",
                                   .options = options,
                                   .option_count = 1,
                                   .summary =
                                       "Lists the topics. Reads shared memory only, so it works beside a dead daemon."};
    const char *words[ARGS_WORDS_MAX + 1];
    aether_inspector *inspector;
    struct topics topics;

    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    status = inspect_open(&inspector);
    if (status != CLI_OK)
        return status;
    status = topics_read(inspector, &topics);
    aether_inspect_close(inspector);
    if (status != CLI_OK)
        return status;
    if (!json) {
        print_list(&topics);
    } else {
        for (size_t i = 0; i < topics.count && status == CLI_OK; i++) {
            json_t *object = json_object();
            if (!json_topic(object, &topics.list[i])) {
                json_decref(object);
                object = NULL;
            }
            if (!out_json_line(object))
                status = CLI_FAILURE;
        }
    }
    topics_free(&topics);
    return out_failed() ? CLI_OK : status; /* a failed write is main()'s to report */
}

/* ---- info -------------------------------------------------------------------------------------------------------- */

static const char *const role_names[] = {"?", "publisher", "reliable", "best-effort"};

static const char *role_name(aether_role role) {
    return role_names[role >= AETHER_ROLE_PUBLISHER && role <= AETHER_ROLE_BEST_EFFORT ? role : 0];
}

static void realtime_text(char text[REALTIME_SIZE], uint64_t ns) {
    const time_t seconds = (time_t)(ns / 1000000000u);
    struct tm tm;

    if (localtime_r(&seconds, &tm) == NULL || strftime(text, REALTIME_SIZE, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        memcpy(text, "-", 2);
}

static void print_messages(const aether_topic_info *t) {
    char largest[AE_AMOUNT_SIZE], ring[AE_AMOUNT_SIZE], lane[AE_AMOUNT_SIZE];

    printf("max message   %s", ae_amount_bytes(largest, t->max_message));
    if (t->lane_bytes == 0)
        printf(", in the ring\n");
    else
        printf(", up to %" PRIu32 " B in the ring, longer ones in a lane of %s a publisher\n", t->inline_max,
               ae_amount_bytes(lane, t->lane_bytes));
    printf("ring          %" PRIu64 " slots of %" PRIu32 " B, %s\n", t->capacity, t->slot_size,
           ae_amount_bytes(ring, t->capacity * t->slot_size));
    printf("memory        %s allocated now\n", ae_amount_bytes(largest, t->memory_bytes));
}

static const char *admits_text(const aether_topic_info *t) {
    static const char *const texts[] = {"up to 64 (shared)", "one at a time (exclusive)", "up to 64, unbiased"};

    return t->admits <= AETHER_PUBLISHERS_UNBIASED ? texts[t->admits] : "?";
}

static void print_info(const struct topic *topic) {
    const aether_topic_info *t = &topic->info;
    char name[AE_ESCAPED_SIZE(sizeof t->name)], created[REALTIME_SIZE], count[AE_AMOUNT_SIZE];
    char type[TYPE_SIZE], type_escaped[AE_ESCAPED_SIZE(TYPE_SIZE)];

    ae_escape(name, t->name, strlen(t->name));
    type_text(type, t);
    ae_escape(type_escaped, type, strlen(type));
    realtime_text(created, t->created_ns);
    printf("topic         %s\n", name);
    printf("created       %s\n", created);
    printf("type          %s\n", t->type_name[0] != '\0' ? type_escaped : "none stated yet");
    printf("messages      %" PRIu64 " (sequences from %" PRIu64 ", next %" PRIu64 ")\n", t->messages, t->start_seq,
           t->next_seq);
    print_messages(t);
    if (t->evict_lag == 0)
        printf("slow          publishers wait for slow reliable subscribers\n");
    else
        printf("slow          reliable subscribers are evicted from a lag of %" PRIu64 " on; %" PRIu32
               " of those attached %s evicted\n",
               t->evict_lag, topic->evicted, topic->evicted == 1 ? "is" : "are");
    printf("lag           %s of the slowest reliable subscriber\n", ae_amount_count(count, t->max_lag));
    printf("publishers    %s; %" PRIu32 " attached, %" PRIu64 " since the topic was created\n", admits_text(t),
           t->publishers, t->joins);
    printf("found full    %" PRIu64 " time%s\n", t->full, t->full == 1 ? "" : "s");
}

static void print_peers(const aether_peer_info *peers, size_t count) {
    struct ae_table table;

    if (count == 0) {
        printf("\nNobody is attached.\n");
        return;
    }
    putchar('\n');
    ae_table_init(&table, "ROLE|>PID|CLIENT|>JOINED|>NEXT|>LAG|>LOST|>ABORTED|>FULL|EVICTED");
    for (size_t i = 0; i < count; i++) {
        const aether_peer_info *p = &peers[i];
        const bool publisher = p->role == AETHER_ROLE_PUBLISHER;
        const bool reliable = p->role == AETHER_ROLE_RELIABLE;
        ae_table_cell(&table, "%s", role_name(p->role));
        if (p->pid != 0)
            ae_table_cell(&table, "%" PRIu32, p->pid);
        else
            ae_table_cell(&table, "-");
        ae_table_text(&table, p->client, strlen(p->client));
        const uint64_t values[] = {p->joined, p->next, p->lag, p->lost, p->aborted, p->full};
        const bool known[] = {publisher || reliable, publisher || reliable, reliable, reliable, reliable, publisher};
        for (size_t c = 0; c < sizeof values / sizeof values[0]; c++) {
            if (known[c])
                ae_table_cell(&table, "%" PRIu64, values[c]);
            else
                ae_table_cell(&table, "-");
        }
        ae_table_cell(&table, "%s", !reliable ? "-" : p->evicted != 0 ? "yes" : "no");
    }
    out_print_table(&table);
}

static bool json_peer(json_t *array, const aether_peer_info *p) {
    json_t *object = json_object();
    bool done = json_object_set_new(object, "role", json_string(role_name(p->role))) == 0 &&
                json_object_set_new(object, "pid", out_json_u64(p->pid)) == 0 &&
                json_object_set_new(object, "client_id", out_json_u64(p->client_id)) == 0 &&
                out_json_bytes(object, "client", p->client, strlen(p->client));

    if (done && p->role != AETHER_ROLE_BEST_EFFORT)
        done = json_object_set_new(object, "joined", out_json_u64(p->joined)) == 0 &&
               json_object_set_new(object, "next", out_json_u64(p->next)) == 0;
    if (done && p->role == AETHER_ROLE_RELIABLE)
        done = json_object_set_new(object, "lag", out_json_u64(p->lag)) == 0 &&
               json_object_set_new(object, "lost", out_json_u64(p->lost)) == 0 &&
               json_object_set_new(object, "aborted", out_json_u64(p->aborted)) == 0 &&
               json_object_set_new(object, "evicted", json_boolean(p->evicted != 0)) == 0;
    if (done && p->role == AETHER_ROLE_PUBLISHER)
        done = json_object_set_new(object, "full", out_json_u64(p->full)) == 0;
    if (done)
        return json_array_append_new(array, object) == 0;
    json_decref(object);
    return false;
}

static bool print_info_json(const struct topic *topic, const aether_peer_info *peers, size_t count) {
    json_t *object = json_object();
    json_t *array = json_array();
    bool done = json_topic(object, topic);

    for (size_t i = 0; i < count && done; i++)
        done = json_peer(array, &peers[i]);
    if (json_object_set_new(object, "peers", array) != 0)
        done = false;
    if (!done) {
        json_decref(object);
        object = NULL;
    }
    return out_json_line(object);
}

/* Reads the topic and its peers and prints them. */
static int show_topic(aether_inspector *inspector, const char *name, bool json) {
    struct topic topic = {.evicted = 0};
    aether_peer_info *peers = NULL;
    size_t count = 0, room = 0;
    uint32_t cursor = 0;
    int status = CLI_OK;
    int rc = aether_inspect_find(inspector, name, &topic.info);

    if (rc < 0)
        return cli_error(CLI_FAILURE, "%s", aether_errmsg());
    if (rc == 0)
        return cli_error(CLI_NO_TOPIC, "no topic '%s' at %s: see aether-cli topic ls", name, cli_socket());
    for (;;) {
        if (count == room) {
            room = room > 0 ? room * 2 : 32;
            aether_peer_info *more = realloc(peers, room * sizeof *more);
            if (more == NULL) {
                status = cli_error(CLI_FAILURE, "out of memory for the list of peers");
                goto out;
            }
            peers = more;
        }
        rc = aether_inspect_peer(inspector, topic.info.id, &cursor, &peers[count]);
        if (rc <= 0)
            break;
        topic.evicted += peers[count].evicted != 0;
        count++;
    }
    if (rc < 0) {
        status = cli_error(CLI_FAILURE, "%s", aether_errmsg());
    } else if (!json) {
        print_info(&topic);
        print_peers(peers, count);
    } else if (!print_info_json(&topic, peers, count) && !out_failed()) {
        status = CLI_FAILURE;
    }
out:
    free(peers);
    return status;
}

static int topic_info(int argc, char **argv) {
    bool json = false;
    const struct args_option options[] = {
        {.name = "json", .kind = ARGS_FLAG, .target = &json, .help = "one object, with the peers in an array"},
    };
    const struct args_spec spec = {
        .command = "topic info",
        .words = "TOPIC",
        .words_min = 1,
        .words_max = 1,
        .options = options,
        .option_count = 1,
        .summary =
            "Shows a topic and who is attached to it. Reads shared memory only, so it works beside a dead daemon."};
    const char *words[ARGS_WORDS_MAX + 1];
    aether_inspector *inspector;

    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    if (words[0][0] == '\0')
        return cli_error(CLI_USAGE, "topic info: the topic's name is empty: see aether-cli topic ls");
    status = inspect_open(&inspector);
    if (status != CLI_OK)
        return status;
    status = show_topic(inspector, words[0], json);
    aether_inspect_close(inspector);
    return status;
}

/* ---- create, rm -------------------------------------------------------------------------------------------------- */

static int topic_create(int argc, char **argv) {
    struct topic_options o = {0};
    const struct args_option options[] = {
        OPTION_MAX_MESSAGE(o),
        {.name = "inline",
         .kind = ARGS_SIZE,
         .target = &o.config.inline_max,
         .min = 1,
         .max = AETHER_INLINE_LIMIT,
         .value = "SIZE",
         .help = "longest message in the ring itself; default: --max-message if that is at most 4088, else 56"},
        {.name = "capacity",
         .kind = ARGS_COUNT,
         .target = &o.config.capacity,
         .min = 8,
         .max = UINT64_C(1) << 32,
         .value = "N",
         .help = "slots of the ring, a power of two; default: what fits in the preset's ring"},
        {.name = "lane",
         .kind = ARGS_SIZE,
         .target = &o.config.lane_bytes,
         .min = 4096,
         .max = UINT64_C(1) << 31,
         .value = "SIZE",
         .help = "a publisher's room for longer messages, a power of two; default: two of the longest or more"},
        OPTION_PRESET(o),
        OPTION_PUBLISHERS(o),
        {.name = "slow",
         .kind = ARGS_CHOICE,
         .target = &o.slow,
         .choices = slow_names,
         .value = "POLICY",
         .given = &o.slow_given,
         .help = "slow reliable subscribers: wait for them (default) or evict them"},
        {.name = "evict-lag",
         .kind = ARGS_COUNT,
         .target = &o.config.evict_lag,
         .min = 1,
         .max = UINT64_C(1) << 32,
         .value = "N",
         .help = "evict from a lag of N messages on, capacity / 2 to capacity (default); implies --slow evict"},
        OPTION_TYPE(o),
    };
    const struct args_spec spec = {.command = "topic create",
                                   .words = "TOPIC",
                                   .words_min = 1,
                                   .words_max = 1,
                                   .options = options,
                                   .option_count = sizeof options / sizeof options[0],
                                   .summary = "Creates a topic, or does nothing if it exists with that configuration."};
    const char *words[ARGS_WORDS_MAX + 1];
    aether_client *client;

    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    status = topic_options_read(&o);
    if (status != CLI_OK)
        return status;
    status = cli_connect("topic create", &client);
    if (status != CLI_OK)
        return status;
    const int rc = aether_topic_create(client, words[0], &o.config);
    if (rc < 0)
        status = cli_library_error(rc);
    aether_disconnect(client);
    return status;
}

static int topic_rm(int argc, char **argv) {
    const struct args_spec spec = {.command = "topic rm",
                                   .words = "TOPIC",
                                   .words_min = 1,
                                   .words_max = 1,
                                   .summary = "Removes a topic to which nobody is attached, with all its messages."};
    const char *words[ARGS_WORDS_MAX + 1];
    aether_client *client;

    int status = args_parse(&spec, argc, argv, words);
    if (status != ARGS_RUN)
        return status;
    status = cli_connect("topic rm", &client);
    if (status != CLI_OK)
        return status;
    const int rc = aether_topic_remove(client, words[0]);
    if (rc < 0)
        status = cli_library_error(rc);
    aether_disconnect(client);
    return status;
}

static const struct cli_command topic_commands[] = {
    {"ls", "", "list the topics", topic_ls},
    {"info", "TOPIC", "show a topic and who is attached", topic_info},
    {"create", "TOPIC", "create a topic", topic_create},
    {"rm", "TOPIC", "remove a topic", topic_rm},
};

int cmd_topic(int argc, char **argv) {
    return cli_dispatch(topic_commands, sizeof topic_commands / sizeof topic_commands[0], "topic", argc, argv);
}
