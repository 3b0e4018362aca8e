/* SPDX-License-Identifier: Apache-2.0 */
/* select.c - a binary heap. */
#include "watch/select.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *name_of(const struct ae_watch_slot *slot) {
    return slot->copy.topic.figures.info.name;
}

/* Negative: a goes before b. */
static int compare(const struct ae_watch_key *a, const char *a_name, const struct ae_watch_key *b, const char *b_name,
                   bool reverse) {
    const int sign = reverse ? -1 : 1;

    if (a->kept != b->kept)
        return a->kept ? -1 : 1;
    for (size_t i = 0; i < AE_WATCH_KEYS; i++) {
        if (a->values[i] > b->values[i])
            return -sign;
        if (a->values[i] < b->values[i])
            return sign;
    }
    return reverse ? strcmp(b_name, a_name) : strcmp(a_name, b_name);
}

/* Does slot a belong nearer to the root than b, because its topic goes behind that of b? */
static bool less(const struct ae_watch_selection *s, size_t a, size_t b) {
    return compare(&s->slots[a]->key, name_of(s->slots[a]), &s->slots[b]->key, name_of(s->slots[b]), s->reverse) > 0;
}

static void swap(struct ae_watch_selection *s, size_t a, size_t b) {
    struct ae_watch_slot *slot = s->slots[a];

    s->slots[a] = s->slots[b];
    s->slots[b] = slot;
}

static void sift_up(struct ae_watch_selection *s, size_t at) {
    while (at > 0 && less(s, at, (at - 1) / 2)) {
        swap(s, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void sift_down(struct ae_watch_selection *s, size_t at, size_t count) {
    for (;;) {
        size_t least = at;
        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++) {
            if (less(s, child, least))
                least = child;
        }
        if (least == at)
            return;
        swap(s, at, least);
        at = least;
    }
}

void ae_watch_select_begin(struct ae_watch_selection *s, size_t max, bool reverse) {
    s->count = 0;
    s->max = max;
    s->reverse = reverse;
    while (s->made > max) {
        ae_watch_copy_clear(&s->slots[--s->made]->copy);
        free(s->slots[s->made]);
    }
}

/* Makes slots[made]. */
static int make_slot(struct ae_watch_selection *s) {
    if (s->made == s->room) {
        const size_t room = s->room > 0 ? s->room * 2 : 32;
        struct ae_watch_slot **more = realloc(s->slots, room * sizeof(struct ae_watch_slot *));
        if (more == NULL)
            return -ENOMEM;
        s->slots = more;
        s->room = room;
    }
    s->slots[s->made] = calloc(1, sizeof **s->slots);
    if (s->slots[s->made] == NULL)
        return -ENOMEM;
    s->made++;
    return 0;
}

int ae_watch_select_offer(struct ae_watch_selection *s, const struct ae_watch_key *key, const char *name,
                          struct ae_watch_slot **slot, bool *replaces) {
    *replaces = s->count == s->max;
    if (s->max == 0)
        return 0;
    if (*replaces) {
        *slot = s->slots[0];
        return compare(key, name, &s->slots[0]->key, name_of(s->slots[0]), s->reverse) < 0;
    }
    if (s->count == s->made && make_slot(s) != 0)
        return -ENOMEM;
    *slot = s->slots[s->count];
    return 1;
}

/* The slot that was offered is the root of a full heap, else the one behind the heap. */
void ae_watch_select_place(struct ae_watch_selection *s) {
    if (s->count == s->max)
        sift_down(s, 0, s->count);
    else
        sift_up(s, s->count++);
}

void ae_watch_select_finish(struct ae_watch_selection *s) {
    for (size_t end = s->count; end > 1; end--) {
        swap(s, 0, end - 1);
        sift_down(s, 0, end - 1);
    }
}

void ae_watch_select_free(struct ae_watch_selection *s) {
    ae_watch_select_begin(s, 0, false);
    free(s->slots);
    s->slots = NULL;
    s->room = 0;
}
