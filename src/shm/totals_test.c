/* SPDX-License-Identifier: Apache-2.0 */
/* totals_test.c - totals that are read while aetherd changes them, and after it was killed in the middle. */
#include "shm/totals.h"
#include "base/socket.h"
#include "shm/segment.h"
#include <aether/error.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define TOPICS 3u
#define GRANTS 5u
#define TOPIC 1u /* the record that the tests use */
#define TOPIC_ID 7u

static struct ae_instance instance;
static struct ae_registry registry;
static struct ae_totals totals;

static void fill_grant(uint32_t g, uint64_t grant_id) {
    ae_registry_grant *grant = &registry.grants[g];
    const ae_registry_grant new = {
        .grant_id = grant_id, .topic_id = TOPIC_ID, .client_id = 9, .role = AE_ROLE_PUBLISHER, .stats = g};

    ae_record_begin(&grant->state);
    ae_copy_in((unsigned char *)grant + 8, (const unsigned char *)&new + 8, sizeof new - 8);
    ae_record_commit(&grant->state);
}

static int setup(void **state) {
    char path[64];

    (void)state;
    snprintf(path, sizeof path, "/tmp/aether-totals-test-%d", (int)getpid());
    if (ae_instance_init(&instance, path, (uint32_t)geteuid()) != 0 ||
        ae_registry_create(&registry, &instance, TOPICS, 1, GRANTS) != 0 ||
        ae_totals_create(&totals, &instance, TOPICS) != 0 || ae_totals_allocate(&instance, &totals, TOPIC) != 0)
        return -1;
    ae_record_begin(&registry.topics[TOPIC].state);
    registry.topics[TOPIC].topic_id = TOPIC_ID;
    ae_record_commit(&registry.topics[TOPIC].state);
    ae_totals_reset(&totals, TOPIC, TOPIC_ID);
    return 0;
}

static int teardown(void **state) {
    char name[AE_OBJECT_NAME_SIZE];

    (void)state;
    ae_registry_close(&registry);
    ae_totals_close(&totals);
    ae_name_registry(&instance, name);
    ae_segment_remove(name);
    ae_name_totals(&instance, name);
    return ae_segment_remove(name);
}

static void open_fails(int code, uint32_t topics, const char *text) {
    struct ae_totals other;

    assert_int_equal(ae_totals_open(&other, &instance, topics, false), code);
    assert_non_null(strstr(aether_errmsg(), text));
    assert_null(other.header);
}

static void created_and_opened(void **state) {
    char name[AE_OBJECT_NAME_SIZE];
    struct ae_totals reader;
    struct stat status;
    int fd;

    (void)state;
    ae_name_totals(&instance, name);
    fd = ae_segment_open(name, false, instance.uid, AE_TOTALS_RECORDS_OFF + TOPICS * AE_TOTALS_RECORD, NULL);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_blocks * 512, AE_TOTALS_RECORDS_OFF + AE_TOTALS_RECORD); /* only one record has memory */
    ae_close(&fd);
    assert_int_equal(ae_totals_create(&reader, &instance, TOPICS), -EEXIST);
    assert_int_equal(ae_totals_open(&reader, &instance, TOPICS, false), 0);
    assert_int_equal(reader.topics, TOPICS);
    ae_totals_close(&reader);
    ae_totals_close(&reader);

    open_fails(-EBADMSG, TOPICS + 1, "bytes, not");
    totals.header->topics = TOPICS + 1;
    open_fails(-EBADMSG, TOPICS, "4 topics, not for 3");
    totals.header->layout_major++;
    open_fails(-EPROTO, TOPICS, "layout version");
    totals.header->magic = 0;
    open_fails(-EBADMSG, TOPICS, "isn't a finished");
    assert_int_equal(ae_segment_remove(name), 0);
    open_fails(-ENOENT, TOPICS, name + 1);
}

static void read_by_topic(void **state) {
    ae_totals_topic copy;

    (void)state;
    assert_int_equal(ae_totals_read(&totals, TOPIC, TOPIC_ID, &copy), 1);
    assert_int_equal(copy.published, 0);
    assert_true(ae_totals_current(&totals, TOPIC, copy.epoch.v));
    assert_int_equal(ae_totals_read(&totals, TOPIC, TOPIC_ID + 1, &copy), 0);
    assert_int_equal(ae_totals_read(&totals, TOPICS, TOPIC_ID, &copy), 0);
    ae_totals_reset(&totals, TOPIC, 0);
    assert_false(ae_totals_current(&totals, TOPIC, copy.epoch.v));
    assert_int_equal(ae_totals_read(&totals, TOPIC, TOPIC_ID, &copy), 0);
    assert_int_equal(ae_totals_read(&totals, TOPIC, 0, &copy), 0);
}

/* ---- changes that are cut short ---- */

/* The sum of the topic: its totals, and 100 for each grant that isn't part of them. -1: aetherd is changing them. */
static int64_t sum(const struct ae_totals *reader, const struct ae_registry *grants) {
    ae_registry_grant grant;
    ae_totals_topic copy;
    uint64_t all;

    if (ae_totals_read(reader, TOPIC, TOPIC_ID, &copy) != 1)
        return -1;
    assert_int_equal(copy.published, copy.delivered);
    assert_int_equal(copy.published, copy.buckets[AE_HISTOGRAM_BUCKETS - 1]);
    all = copy.published;
    for (uint32_t g = 0; g < grants->grants_max; g++) {
        if (ae_registry_read_grant(grants, g, &grant) == 1 && grant.folded == 0 && grant.grant_id != copy.last_folded)
            all += 100;
    }
    return ae_totals_current(reader, TOPIC, copy.epoch.v) ? (int64_t)all : -1;
}

static ae_totals_topic folded(uint64_t grant_id) {
    ae_totals_topic next = *ae_totals_record(&totals, TOPIC);

    next.published += 100;
    next.delivered += 100;
    next.samples += 100; /* without samples nobody has a histogram */
    next.buckets[AE_HISTOGRAM_BUCKETS - 1] += 100;
    next.last_folded = grant_id;
    return next;
}

static void a_change_is_whole_or_not_at_all(void **state) {
    (void)state;
    for (unsigned killed = 0; killed <= AE_TOTALS_STEPS; killed++) {
        for (int damaged = 0; damaged < 2; damaged++) {
            const uint64_t before = ae_totals_record(&totals, TOPIC)->published;
            fill_grant(2, 1000 + killed * 2 + (unsigned)damaged);
            const ae_totals_topic next = folded(registry.grants[2].grant_id);
            for (unsigned step = 0; step < killed; step++)
                ae_totals_step(&totals, &registry.grants[2], TOPIC, &next, step);
            /* aetherd is dead. Its last step may be half done. */
            if (damaged && killed == 0)
                memset(&totals.header->journal, 0x5a, 4000);
            if (damaged && killed == 3)
                memset((unsigned char *)(uintptr_t)ae_totals_record(&totals, TOPIC) + 8, 0x5a, 4000);
            assert_int_equal(sum(&totals, &registry), before + 100);
            ae_totals_finish(&totals, &registry);
            assert_int_equal(sum(&totals, &registry), before + 100);
            assert_int_equal(registry.grants[2].folded, killed >= 2);
            assert_int_equal(ae_load_relaxed(&totals.header->journal_topic), 0);
            if (registry.grants[2].folded == 0)
                ae_totals_change(&totals, &registry.grants[2], TOPIC, &next);
            assert_int_equal(registry.grants[2].folded, 1);
            ae_record_free(&registry.grants[2].state);
            assert_int_equal(sum(&totals, &registry), before + 100);
            ae_totals_finish(&totals, &registry);
            assert_int_equal(ae_totals_record(&totals, TOPIC)->published, before + 100);
        }
    }
}

/* Copies of both objects, on which a successor works while the process under test is stopped. */
static unsigned char registry_copy[12288] __attribute__((aligned(8)));
static unsigned char totals_copy[AE_TOTALS_RECORDS_OFF + TOPICS * AE_TOTALS_RECORD] __attribute__((aligned(8)));

/* Readers and a successor have each grant once, wherever the process that changes the totals was killed. */
static void check_where_it_stands(void) {
    struct ae_totals successor = {.header = (ae_totals_header *)(void *)totals_copy, .topics = TOPICS};
    struct ae_registry grants = registry;

    assert_int_equal(sum(&totals, &registry), 100);
    assert_int_equal(registry.bytes, sizeof registry_copy);
    memcpy(registry_copy, registry.base, sizeof registry_copy);
    memcpy(totals_copy, totals.header, sizeof totals_copy);
    grants.topics = (ae_registry_topic *)(void *)(registry_copy + ((char *)registry.topics - (char *)registry.base));
    grants.grants = (ae_registry_grant *)(void *)(registry_copy + ((char *)registry.grants - (char *)registry.base));
    ae_totals_finish(&successor, &grants);
    assert_int_equal(sum(&successor, &grants), 100);
    assert_int_equal(grants.grants[2].folded != 0, ae_totals_record(&successor, TOPIC)->published == 100);
    assert_int_equal(ae_totals_record(&successor, TOPIC)->epoch.v & 1, 0);
}

/* The mappings aren't inherited. */
static void change_in_a_child(const ae_totals_topic *next) {
    struct ae_registry grants;
    struct ae_totals own;

    if (ae_registry_open(&grants, &instance, true) != 0 || ae_totals_open(&own, &instance, TOPICS, true) != 0 ||
        ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(1);
    (void)raise(SIGSTOP);
    ae_totals_change(&own, &grants.grants[2], TOPIC, next);
    _exit(0);
}

static void killed_after_any_instruction(void **state) {
    unsigned instructions = 0;
    int status;

    (void)state;
#ifdef AE_TSAN
    skip(); /* it executes many more instructions, and the same accesses */
#endif
    fill_grant(2, 1000);
    const ae_totals_topic next = folded(1000);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        change_in_a_child(&next);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status))
        skip(); /* ptrace(2) isn't allowed here */
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)PTRACE_O_EXITKILL), 0);
    while (WIFSTOPPED(status)) {
        check_where_it_stands();
        instructions++;
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
    }
    assert_int_equal(status, 0);
    assert_true(instructions > 50);
    assert_int_equal(registry.grants[2].folded, 1);
    assert_int_equal(ae_totals_record(&totals, TOPIC)->published, 100);
}

static void a_journal_of_a_topic_that_is_gone(void **state) {
    const ae_totals_topic next = folded(5);
    ae_totals_topic copy;

    (void)state;
    for (int gone = 0; gone < 4; gone++) {
        for (unsigned step = 0; step < 3; step++)
            ae_totals_step(&totals, NULL, TOPIC, &next, step);
        if (gone == 0)
            ae_store_relaxed(&totals.header->journal_topic, TOPICS + 1);
        else if (gone == 1)
            ae_store_relaxed(&totals.header->journal_topic, UINT64_MAX);
        else if (gone == 2)
            ae_record_free(&registry.topics[TOPIC].state);
        else
            registry.topics[TOPIC].topic_id = TOPIC_ID + 1;
        ae_totals_finish(&totals, &registry);
        assert_int_equal(ae_load_relaxed(&totals.header->journal_topic), 0);
        assert_int_equal(ae_totals_read(&totals, TOPIC, TOPIC_ID, &copy), 0); /* its epoch is odd, without a journal */
        ae_totals_reset(&totals, TOPIC, TOPIC_ID);
        assert_int_equal(ae_totals_read(&totals, TOPIC, TOPIC_ID, &copy), 1);
        assert_int_equal(copy.published, 0);
        ae_record_begin(&registry.topics[TOPIC].state);
        registry.topics[TOPIC].topic_id = TOPIC_ID;
        ae_record_commit(&registry.topics[TOPIC].state);
    }
}

/* The journal may be another topic's by the time at which a reader copies it. */
static void a_journal_of_another_topic(void **state) {
    const ae_totals_topic next = folded(5);
    ae_totals_topic copy;

    (void)state;
    for (unsigned step = 0; step < 4; step++)
        ae_totals_step(&totals, NULL, TOPIC, &next, step);
    assert_int_equal(ae_totals_read(&totals, TOPIC, TOPIC_ID, &copy), 1);
    assert_int_equal(copy.published, 100);
    assert_int_equal(copy.epoch.v & 1, 1);
    ae_store_relaxed(&totals.header->journal_topic, TOPIC);
    assert_int_equal(ae_totals_read(&totals, TOPIC, TOPIC_ID, &copy), 0);
    ae_store_relaxed(&totals.header->journal_topic, TOPIC + 1);
    ae_store_relaxed(&totals.header->journal.epoch, ae_load_relaxed(&totals.header->journal.epoch) + 2);
    assert_int_equal(ae_totals_read(&totals, TOPIC, TOPIC_ID, &copy), 0);
}

/* ---- while aetherd changes them ---- */

#define TURNS 500u

static ae_u64 stop;

/* Grants come, are folded, and go. */
static void *fold(void *arg) {
    (void)arg;
    for (uint64_t id = 1; ae_load_relaxed(&stop) == 0; id++) {
        const uint32_t g = (uint32_t)(id % GRANTS);
        fill_grant(g, id);
        const ae_totals_topic next = folded(id);
        ae_totals_change(&totals, &registry.grants[g], TOPIC, &next);
        ae_record_free(&registry.grants[g].state);
    }
    return NULL;
}

static void a_reader_sees_every_grant_once(void **state) {
    struct ae_registry grants;
    struct ae_totals reader;
    int64_t last = 0, now;
    unsigned seen = 0;
    pthread_t writer;

    (void)state;
    assert_int_equal(ae_registry_open(&grants, &instance, false), 0);
    assert_int_equal(ae_totals_open(&reader, &instance, TOPICS, false), 0);
    ae_store_relaxed(&stop, 0);
    assert_int_equal(pthread_create(&writer, NULL, fold, NULL), 0);
    while (seen < TURNS) {
        now = sum(&reader, &grants);
        if (now < 0)
            continue;
        assert_true(now >= last);
        seen += now != last;
        last = now;
    }
    ae_store_relaxed(&stop, 1);
    assert_int_equal(pthread_join(writer, NULL), 0);
    ae_registry_close(&grants);
    ae_totals_close(&reader);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(created_and_opened),
        TEST(read_by_topic),
        TEST(a_change_is_whole_or_not_at_all),
        TEST(killed_after_any_instruction),
        TEST(a_journal_of_a_topic_that_is_gone),
        TEST(a_journal_of_another_topic),
        TEST(a_reader_sees_every_grant_once),
    };

    return cmocka_run_group_tests_name("totals", tests, NULL, NULL);
}
