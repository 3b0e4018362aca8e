/* SPDX-License-Identifier: Apache-2.0 */
/*
 * discover.c - which topics come and go:  discover COUNT PREFIX
 *
 * Prints COUNT lines: "+ NAME" for each topic whose name begins with PREFIX, those that are there already first, and
 * "- NAME" for each that is removed. While nothing changes the process sleeps, also while aetherd is dead.
 */
#include <aether/aether.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A topic that has been printed. A name may come again with another topic behind it; id and time tell them apart. */
struct known {
    struct known *next;
    uint64_t id, created_ns;
    int listed; /* it is in the list that is under way */
    char name[256];
};

struct app {
    const char *prefix;
    unsigned long left; /* lines to print */
    struct known *known;
};

/* Names may hold any byte: nothing that could command a terminal is printed. */
static void print_change(struct app *app, char sign, const char *name) {
    if (app->left == 0)
        return;
    printf("%c ", sign);
    for (; *name != '\0'; name++)
        putchar(isprint((unsigned char)*name) ? *name : '?');
    putchar('\n');
    fflush(stdout);
    app->left--;
}

static int note(struct app *app, const aether_topic_info *info) {
    struct known *topic;

    for (topic = app->known; topic != NULL; topic = topic->next) {
        if (topic->id == info->id && topic->created_ns == info->created_ns && strcmp(topic->name, info->name) == 0) {
            topic->listed = 1;
            return 0;
        }
    }
    topic = calloc(1, sizeof *topic);
    if (topic == NULL)
        return -ENOMEM;
    topic->id = info->id;
    topic->created_ns = info->created_ns;
    topic->listed = 1;
    memcpy(topic->name, info->name, sizeof topic->name);
    topic->next = app->known;
    app->known = topic;
    print_change(app, '+', topic->name); /* the place to open a subscriber */
    return 0;                            /* NOLINT(clang-analyzer-unix.Malloc): app->known has it, main() frees it */
}

/* What isn't listed any more is gone. */
static void forget_others(struct app *app) {
    for (struct known **at = &app->known; *at != NULL;) {
        struct known *topic = *at;
        if (topic->listed) {
            topic->listed = 0;
            at = &topic->next;
        } else {
            print_change(app, '-', topic->name);
            *at = topic->next;
            free(topic);
        }
    }
}

static int list(struct app *app, aether_inspector *inspector) {
    aether_topic_info info;
    uint32_t at = 0;
    int rc;

    while ((rc = aether_inspect_topic(inspector, &at, &info)) > 0) {
        if (strncmp(info.name, app->prefix, strlen(app->prefix)) == 0 && (rc = note(app, &info)) < 0)
            return rc;
    }
    if (rc == 0)
        forget_others(app);
    return rc;
}

int main(int argc, char **argv) {
    struct app app = {.prefix = argc > 2 ? argv[2] : "", .left = argc > 1 ? strtoul(argv[1], NULL, 10) : 0};
    aether_inspector *inspector = NULL;
    int rc;

    if (argc != 3) {
        fprintf(stderr, "usage: discover COUNT PREFIX\n");
        return 2;
    }
    rc = aether_inspect_open(&inspector, NULL);
    while (rc >= 0 && app.left > 0) {
        rc = aether_inspect_changed(inspector, AETHER_FOREVER); /* 1 at first: nothing has been listed yet */
        if (rc > 0)
            rc = list(&app, inspector);
    }
    if (rc < 0)
        fprintf(stderr, "discover: %s\n", rc == -ENOMEM ? strerror(ENOMEM) : aether_errmsg());
    aether_inspect_close(inspector);
    while (app.known != NULL) {
        struct known *next = app.known->next;
        free(app.known);
        app.known = next;
    }
    return rc < 0;
}
