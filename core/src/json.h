/* SPDX-License-Identifier: MIT
 *
 * What is in an object of an answer: typed reads that tell "not there" from "not what it should
 * be". Everything returned is borrowed from the object. */
#ifndef BCI_JSON_H
#define BCI_JSON_H

#include "internal.h"

struct json_object;

/* The server is JavaScript: above this its numbers, and our doubles, are no longer exact. */
#define BCI_ID_MAX ((INT64_C(1) << 53) - 1)

enum bci_json {
	BCI_JSON_ABSENT, /* missing or null: no value, and nothing wrong */
	BCI_JSON_OK,
	BCI_JSON_TYPE    /* there, but of another type, or not finite */
};

enum bci_json bci_json_number(const struct json_object *o, const char *name, double *out);
/* A whole number from 0 to BCI_ID_MAX. */
enum bci_json bci_json_id(const struct json_object *o, const char *name, int64_t *out);
enum bci_json bci_json_bool(const struct json_object *o, const char *name, bool *out);
/* The empty string is absent. */
enum bci_json bci_json_text(const struct json_object *o, const char *name, const char **out);
/* A reference that is not expanded, {"__id":3}, or expanded, [{"id":3,...}]; null and [] are
 * absent. */
enum bci_json bci_json_ref(const struct json_object *o, const char *name, int64_t *out);
/* The i-th object of an expanded to-many reference; NULL past the end, and for what is none. */
const struct json_object *bci_json_row(const struct json_object *o, const char *name, size_t i);
size_t bci_json_row_count(const struct json_object *o, const char *name);
/* The object of an expanded to-one reference, NULL if there is none. */
const struct json_object *bci_json_expanded(const struct json_object *o, const char *name);

#endif
