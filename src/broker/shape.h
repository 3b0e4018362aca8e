/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shape.h - which shape follows from what the clients of a topic state, and who contradicts whom.
 *
 * A topic's shape is fixed by its first publisher. Until then what nobody has stated is open. Sizes are "at least": of
 * two the larger counts. Everything else must be equal where two clients state it. What a publisher states, or the
 * request that created the topic, is the topic's own. What a subscriber states counts as long as it is open.
 *
 * The functions are pure but for the texts of errors. They keep nothing and don't block.
 */
#ifndef AE_BROKER_SHAPE_H
#define AE_BROKER_SHAPE_H

#include "protocol/message.h"
#include "shm/registry_layout.h"
#include <stdbool.h>

/* What one client states. It borrows everything. */
struct ae_statement {
    const ae_wish *says;
    const char *role; /* for texts: "publisher", "subscriber", "creator" */
    const char *name; /* of the client; "": not known, then the role says all */
    uint32_t pid;     /* 0: not known */
    bool asks;        /* a subscriber's: its sizes only enlarge what the topic has without them, also a default */
};

/* "publisher 'cam' (pid 12)". Returns text. */
#define AE_WHO_SIZE 128
const char *ae_shape_who(char text[AE_WHO_SIZE], const struct ae_statement *client);

/* The part of a request that a client states, which is all but the topic's name. */
ae_wish ae_shape_wish(const struct ae_topic_request *request);

/* Which values of a wish are stated: AE_STATED_*. */
uint32_t ae_shape_stated(const ae_wish *wish);

/* Which values that `to` states are others than in `from`: AE_STATED_*. A type's size is a size of messages, too. */
uint32_t ae_shape_changed(const ae_wish *from, const ae_wish *to);

/* The part of a wish that consists of these values, AE_STATED_*. */
ae_wish ae_shape_part(const ae_wish *wish, uint32_t values);

/*
 * Merges the statements; the last is that of the client that asks. Sets *all to what is stated in sum, and *geometry to
 * the layout that follows from it; both may be NULL. Returns 0, or with a text -EINVAL: the client that asks states
 * something that is never right; -EEXIST: two clients contradict each other, and the text names both.
 */
int ae_shape_decide(const char *topic, const struct ae_statement *list, size_t count, ae_wish *all,
                    ae_geometry *geometry);

/* Compares only the type of the last statement with the others': 0, or -EEXIST with a text that names both. */
int ae_shape_match_types(const char *topic, const struct ae_statement *list, size_t count);

/*
 * Sets *all to what a FIXED topic itself states, of which only the stated values are set: not what subscribers asked
 * for. But where a publisher stated a size, and subscribers asked for more, it is their size. *all is also right for a
 * topic that was created, and never had a publisher.
 */
void ae_shape_own(const ae_registry_topic *topic, ae_wish *all);

/*
 * Which values of a FIXED topic aren't what the client states: AE_STATED_*; 0: it can use the topic as it is. -EINVAL
 * with a text if it states something that is never right.
 */
int ae_shape_differs(const ae_registry_topic *topic, const struct ae_statement *client, uint32_t *differs);

/*
 * Returns -EEXIST with a text: of these values, a value that a client stated for the topic, or else a default; who made
 * it so; what this client states; and the remedy, which is a whole instruction.
 */
int ae_shape_refuse(const ae_registry_topic *topic, const struct ae_statement *client, uint32_t differs,
                    const char *remedy);

/*
 * Why a FIXED topic has this value, AE_STATED_*: "as publisher 'a' (pid 12) stated", "as subscriber 'b' (pid 14) asked
 * for when publisher 'a' (pid 12) came", or "the default since ...". Returns text.
 */
#define AE_WHY_SIZE (2 * AE_WHO_SIZE + 64)
const char *ae_shape_why(char text[AE_WHY_SIZE], const ae_registry_topic *topic, uint32_t field);

/* "'quote' version 2 of 32 bytes". Returns text. */
#define AE_TYPE_TEXT_SIZE (AE_TYPE_NAME_MAX + 64)
const char *ae_shape_type_text(char text[AE_TYPE_TEXT_SIZE], const char *name, uint32_t version, uint32_t size);

#endif
