/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline.c - one thread receives frames and several threads work on them, in place and without a copy:
 *
 *     pipeline [COUNT]    publishes frames of 64 KiB (default 1000) and adds up their bytes
 *
 * The receiving thread holds each frame, hands it to the workers, and releases it when one of them is done with it, in
 * whatever order that is. Only the receiving thread uses the subscriber; the workers only read bytes. Publishers wait
 * for a frame that is held, so the ring and the lane have room for several times as many frames as are in work.
 */
#include <aether/aether.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define TOPIC "examples/pipeline"
#define FRAME 65536u
#define IN_WORK 16u /* frames; at most AETHER_HOLDS_MAX */
#define WORKERS 3u
#define PATIENCE_NS (10 * UINT64_C(1000000000))

static const aether_topic_config config = {
    .max_message = FRAME,
    .capacity = 4 * IN_WORK,
    .lane_bytes = 8 * IN_WORK * FRAME,
};

enum state { FREE, WAITS, DONE };

struct job {
    enum state state;
    aether_held frame;
};

/* Under the lock, but for the bytes of the frames. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job jobs[IN_WORK];
    uint64_t taken, given; /* jobs that workers have taken, and that they were given, in turn */
    uint64_t sum;
    int over;
} work = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* ---- workers ---- */

static void *add_up(void *unused) {
    (void)unused;
    pthread_mutex_lock(&work.lock);
    while (!work.over || work.taken != work.given) {
        if (work.taken == work.given) {
            pthread_cond_wait(&work.changed, &work.lock);
            continue;
        }
        struct job *job = &work.jobs[work.taken++ % IN_WORK];
        const unsigned char *bytes = job->frame.message.data;
        uint64_t sum = 0;

        pthread_mutex_unlock(&work.lock);
        for (size_t i = 0; i < job->frame.message.len; i++)
            sum += bytes[i];
        pthread_mutex_lock(&work.lock);
        work.sum += sum;
        job->state = DONE;
        pthread_cond_broadcast(&work.changed);
    }
    pthread_mutex_unlock(&work.lock);
    return NULL;
}

/* ---- the receiving thread ---- */

/* Waits until the next place is free. Releases all frames that are done meanwhile, in any order. */
static struct job *free_place(aether_subscriber *sub) {
    struct job *next = &work.jobs[work.given % IN_WORK];

    pthread_mutex_lock(&work.lock);
    for (;;) {
        for (unsigned i = 0; i < IN_WORK; i++) {
            if (work.jobs[i].state == DONE) {
                aether_release(sub, &work.jobs[i].frame);
                work.jobs[i].state = FREE;
            }
        }
        if (next->state == FREE)
            break;
        pthread_cond_wait(&work.changed, &work.lock);
    }
    pthread_mutex_unlock(&work.lock);
    return next;
}

static int receive(aether_subscriber *sub, uint64_t count) {
    for (uint64_t n = 0; n < count; n++) {
        struct job *job = free_place(sub);
        aether_message m;
        int rc = aether_receive_wait(sub, &m, AETHER_FOREVER);

        if (rc == 0) /* a signal came */
            return 0;
        if (rc > 0)
            rc = aether_hold(sub, &m, &job->frame);
        if (rc < 0)
            return rc;
        pthread_mutex_lock(&work.lock);
        job->state = WAITS;
        work.given++;
        pthread_cond_broadcast(&work.changed);
        pthread_mutex_unlock(&work.lock);
    }
    return 0;
}

/* ---- the publishing thread ---- */

struct camera {
    aether_publisher *pub;
    uint64_t count;
    int rc;
};

static void *publish(void *context) {
    struct camera *camera = context;
    unsigned char *frame = calloc(1, FRAME);

    camera->rc = frame == NULL ? -1 : 0;
    for (uint64_t n = 0; n < camera->count && camera->rc == 0; n++) {
        frame[n % FRAME]++; /* one more than in the frame before */
        camera->rc = aether_publish_wait(camera->pub, frame, FRAME, PATIENCE_NS);
    }
    free(frame);
    return NULL;
}

static int run(aether_client *client, uint64_t count) {
    struct camera camera = {.count = count};
    aether_subscriber *sub;
    pthread_t threads[WORKERS + 1];
    unsigned started = 0;
    int rc = aether_publisher_open(client, TOPIC, &config, &camera.pub);

    if (rc == 0)
        rc = aether_subscriber_open(client, TOPIC, NULL, NULL, &sub);
    if (rc < 0)
        return rc;
    while (started < WORKERS && pthread_create(&threads[started], NULL, add_up, NULL) == 0)
        started++;
    if (started == WORKERS && pthread_create(&threads[started], NULL, publish, &camera) == 0)
        started++;
    if (started == WORKERS + 1)
        rc = receive(sub, count);
    pthread_mutex_lock(&work.lock);
    work.over = 1;
    pthread_cond_broadcast(&work.changed);
    pthread_mutex_unlock(&work.lock);
    for (unsigned i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    return rc;
}

int main(int argc, char **argv) {
    const uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000;
    aether_client *client = NULL;
    int rc = aether_connect(&client, NULL);

    if (rc == 0)
        rc = run(client, count);
    if (rc < 0)
        fprintf(stderr, "pipeline: %s\n", aether_errmsg());
    else
        printf("%" PRIu64 " frames by %u workers without a copy, the bytes add up to %" PRIu64 "\n", count, WORKERS,
               work.sum);
    aether_disconnect(client); /* releases what is still held */
    return rc != 0;
}
