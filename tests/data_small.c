/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many topics of short messages take little memory. Each has a publisher in one of two processes and a subscriber in
 * the other, and a message goes through each. Then what both processes and all objects of the instance take is
 * measured.
 *
 * AETHER_TEST_TOPICS sets how many topics the second case has: 10,000 take a minute.
 */
#include "lib/process.h"
#include <dirent.h>
#include <sys/stat.h>

#define MB 1000000ull
#define FEW 500u
#define FEW_BYTES (64 * MB)
#define MANY 2000u
#define TOPIC_BYTES (130 * 1000ull) /* of many: 1.3 GB for 10,000 */

static struct stage {
    uint64_t topics;
    uint64_t phase[2];    /* that a process has reached */
    uint64_t resident[2]; /* bytes */
    uint64_t over;
} * stage;

enum { PUBLISHERS = 1, SUBSCRIBERS, PUBLISHED, RECEIVED, MEASURED };

static const aether_topic_config config = {.max_message = 4};

/* ---- memory ---- */

static uint64_t resident(void) {
    unsigned long long size, pages;
    FILE *file = fopen("/proc/self/statm", "r");

    REQUIRE(file != NULL && fscanf(file, "%llu %llu", &size, &pages) == 2);
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The beginning of the names of the instance's objects; see docs/layout.md. */
static void prefix_of(char *prefix, size_t size) {
    char path[256], dir[4096];
    uint64_t hash = 0xcbf29ce484222325ull;

    REQUIRE(realpath(test.dir, dir) != NULL);
    snprintf(path, sizeof path, "%.200s/aetherd.sock", dir);
    for (const char *c = path; *c != '\0'; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3ull;
    snprintf(prefix, size, "aether-%u-%016llx.", (unsigned)getuid(), (unsigned long long)hash);
}

/* What the objects of the instance take, in allocated bytes. */
static uint64_t objects(void) {
    char prefix[64];
    DIR *dir = opendir("/dev/shm");
    struct dirent *entry;
    unsigned count = 0;
    uint64_t bytes = 0;
    struct stat st;

    REQUIRE(dir != NULL);
    prefix_of(prefix, sizeof prefix);
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 && fstatat(dirfd(dir), entry->d_name, &st, 0) == 0) {
            bytes += (uint64_t)st.st_blocks * 512;
            count++;
        }
    }
    closedir(dir);
    REQUIRE(count >= 3 * stage->topics);
    return bytes;
}

/* Mappings of this process, of which the kernel allows some 65,000. */
static uint64_t mappings(void) {
    FILE *maps = fopen("/proc/self/maps", "r");
    uint64_t count = 0;
    int c;

    REQUIRE(maps != NULL);
    while ((c = fgetc(maps)) != EOF)
        count += c == '\n';
    fclose(maps);
    return count;
}

/* ---- the two processes ---- */

/* Waits for the other process. Its work may take long: only the process's alarm ends this. */
static void meet(unsigned self, uint64_t phase) {
    set(&stage->phase[self], phase);
    while (get(&stage->phase[1 - self]) < phase)
        poll_pause();
}

static const char *topic_name(uint64_t i) {
    static char name[32];

    snprintf(name, sizeof name, "small/%u", (unsigned)i);
    return name;
}

/* Process 0 publishes to the even topics and subscribes to the odd ones, process 1 the other way round. */
static void take_part(unsigned self) {
    aether_client *client = connect_as(self == 0 ? "even" : "odd");
    const uint64_t half = stage->topics / 2, before = mappings();
    aether_publisher **pubs = calloc(half, sizeof *pubs);
    aether_subscriber **subs = calloc(half, sizeof *subs);

    int rc;

    REQUIRE(pubs != NULL && subs != NULL);
    /* On a machine with far more work than processors aetherd may need more than the 5 seconds of a request. */
    for (uint64_t i = 0; i < half; i++) {
        AWAIT((rc = aether_publisher_open(client, topic_name(2 * i + self), &config, &pubs[i])) != -ETIMEDOUT);
        REQUIRE(rc == 0);
    }
    meet(self, PUBLISHERS);
    for (uint64_t i = 0; i < half; i++) {
        const char *name = topic_name(2 * i + 1 - self);
        AWAIT((rc = aether_subscriber_open(client, name, NULL, &config, &subs[i])) != -ETIMEDOUT);
        REQUIRE(rc == 0);
    }
    meet(self, SUBSCRIBERS);
    for (uint64_t i = 0; i < half; i++) {
        const uint32_t word = (uint32_t)i;
        REQUIRE(aether_publish(pubs[i], &word, sizeof word) == 0);
    }
    meet(self, PUBLISHED);
    for (uint64_t i = 0; i < half; i++) {
        const uint32_t word = (uint32_t)i;
        aether_message m;
        REQUIRE(aether_receive(subs[i], &m) == 1 && m.lost == 0 && m.len == sizeof word);
        REQUIRE(memcmp(m.data, &word, sizeof word) == 0);
    }
    meet(self, RECEIVED);
    set(&stage->resident[self], resident());
    /* Three a handle: log, cursors, notes. The statistics of many handles lie in one. */
    REQUIRE(mappings() - before <= 3 * stage->topics + stage->topics / 16 + 64 || SANITIZED);
    set(&stage->phase[self], MEASURED);
    while (get(&stage->over) == 0)
        poll_pause();
    aether_disconnect(client);
    free(pubs);
    free(subs);
}

static void measure(unsigned topics, uint64_t most) {
    pid_t other;
    uint64_t shared, both;

    *stage = (struct stage){.topics = topics};
    other = spawn(take_part, 1);
    /* Process 0 is a child, too, so that the memory of one case isn't counted in the next. */
    const pid_t self = spawn(take_part, 0);
    while (get(&stage->phase[0]) != MEASURED || get(&stage->phase[1]) != MEASURED) {
        REQUIRE(waitpid(self, NULL, WNOHANG) == 0 && waitpid(other, NULL, WNOHANG) == 0);
        poll_pause();
    }
    shared = objects();
    set(&stage->over, 1);
    join_child(self);
    join_child(other);
    both = stage->resident[0] + stage->resident[1];
    printf("# %u topics: resident %.1f MB and %.1f MB, objects %.1f MB\n", topics, (double)stage->resident[0] / 1e6,
           (double)stage->resident[1] / 1e6, (double)shared / 1e6);
    REQUIRE(both <= most || SANITIZED);
    REQUIRE(shared <= most);
    ok("%u topics take less than %llu MB in two processes, and in /dev/shm", topics, (unsigned long long)(most / MB));
}

/* ---- many ---- */

static uint64_t available(void) {
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    char line[128];

    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "MemAvailable: %llu", &kib);
    if (file != NULL)
        fclose(file);
    return kib * 1024;
}

/* A daemon that allows so many topics. */
static void restart_for(unsigned topics) {
    FILE *file;

    REQUIRE(kill(test.daemon, SIGTERM) == 0 && waitpid(test.daemon, NULL, 0) == test.daemon);
    snprintf(test.config, sizeof test.config, "%.70s/aetherd.conf", test.dir);
    file = fopen(test.config, "w");
    REQUIRE(file != NULL);
    fprintf(file, "[limits]\ntopics = %u\ngrants = %u\n", topics, 2 * topics);
    fclose(file);
    daemon_start();
    unlink(test.config);
}

int main(void) {
    test.logs = true;
    test_begin(2);
    const unsigned many = (unsigned)setting("AETHER_TEST_TOPICS", MANY);

    stage = share(sizeof *stage);
    measure(FEW, FEW_BYTES);
    if (SANITIZED || available() < 3 * many * TOPIC_BYTES) {
        ok("%u topics # SKIP a sanitizer, or too little memory", many);
    } else {
        restart_for(many);
        measure(many, many * TOPIC_BYTES);
    }
    return 0;
}
