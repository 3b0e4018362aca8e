/* SPDX-License-Identifier: Apache-2.0 */
/* complete.c - prints tables of options and names of topics, for the completions. */
#include "complete.h"
#include "args.h"
#include "daemon.h"
#include "error.h"
#include "output.h"
#include "view/json.h"
#include <stdio.h>
#include <string.h>

static const char *const kinds[] = {
    [ARGS_FLAG] = "flag",     [ARGS_TEXT] = "text",         [ARGS_COUNT] = "count",   [ARGS_SIZE] = "size",
    [ARGS_NUMBER] = "number", [ARGS_DURATION] = "duration", [ARGS_CHOICE] = "choice", [ARGS_LIMITS] = "limits",
    [ARGS_TIMES] = "times",   [ARGS_LIST] = "list"};

static int print(struct ae_json object) {
    const struct ae_view view = out_view(&(struct out_options){.json = true});

    return out_check(&view, ae_json_line(object, view.out));
}

static struct ae_json option_object(const struct args_option *option) {
    struct ae_json object = ae_json_object(), choices = ae_json_array();
    const char letter[2] = {option->letter, '\0'};

    ae_json_text(&object, "name", option->name);
    ae_json_text(&object, "letter", letter);
    ae_json_text(&object, "kind", kinds[option->kind]);
    ae_json_bool(&object, "optional", option->optional);
    ae_json_text(&object, "value", option->value != NULL ? option->value : "");
    ae_json_text(&object, "help", option->help != NULL ? option->help : "");
    for (const char *const *choice = option->choices; choice != NULL && *choice != NULL; choice++)
        ae_json_append_text(&choices, *choice);
    ae_json_nest(&object, "choices", choices);
    return object;
}

static int print_options(const struct args_spec *spec) {
    struct ae_json object = ae_json_object(), options = ae_json_array();

    ae_json_text(&object, "command", spec->command);
    ae_json_text(&object, "words", spec->words);
    ae_json_u64(&object, "words_max", (uint64_t)spec->words_max);
    ae_json_bool(&object, "more_words", spec->rest != NULL);
    for (size_t i = 0; i < spec->option_count; i++)
        ae_json_append(&options, option_object(&spec->options[i]));
    ae_json_nest(&object, "options", options);
    return print(object);
}

static int print_commands(const struct cli_command *commands, size_t count, const char *parent) {
    struct ae_json object = ae_json_object(), list = ae_json_array();
    int status = CLI_OK;

    ae_json_text(&object, "command", parent);
    for (size_t i = 0; i < count; i++) {
        struct ae_json command = ae_json_object();
        ae_json_text(&command, "name", commands[i].name);
        ae_json_text(&command, "summary", commands[i].summary);
        ae_json_append(&list, command);
    }
    ae_json_nest(&object, "commands", list);
    status = print(object);
    for (size_t i = 0; i < count && status == CLI_OK; i++) {
        char name[32];
        char *argv[] = {name, NULL};
        snprintf(name, sizeof name, "%s", commands[i].name);
        status = commands[i].run(1, argv);
    }
    return status;
}

int complete_print_tables(const struct cli_command *commands, size_t count) {
    args_list_options(print_options);
    cli_walk_commands(print_commands);
    return print_commands(commands, count, "");
}

static bool can_be_typed(const char *name) {
    for (const char *p = name; *p != '\0'; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return false;
    }
    return true;
}

int complete_print_topics(void) {
    aether_inspector *inspector;
    aether_daemon_info daemon;
    aether_topic_info topic;
    uint32_t cursor = 0;

    if (aether_inspect_open(&inspector, cli_socket()) != 0)
        return CLI_NO_DAEMON;
    const bool running = aether_inspect_daemon(inspector, &daemon) == 0 && daemon.running;
    while (running && aether_inspect_topic(inspector, &cursor, &topic) == 1) {
        if (can_be_typed(topic.name))
            printf("%s\n", topic.name);
    }
    aether_inspect_close(inspector);
    return running ? CLI_OK : CLI_NO_DAEMON;
}
