/* SPDX-License-Identifier: MIT
 *
 * Formats: Prometheus' documentation of http_sd; Consul's of /v1/health/service/NAME. */
#include "roster.h"

#include "limits.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#define BLANKS " \t\r\n"

static int add(struct bci_members *m, const char *name, size_t len, const char **why)
{
	int rc = bci_members_add(m, name, len);

	if (rc == BCRAWL_E_NOMEM)
		return rc;
	*why = rc == BCRAWL_E_LIMIT ? "names more members than there may be"
				    : "names a member by what is no name";
	return rc ? BCRAWL_E_PROTOCOL : BCRAWL_OK;
}

/* ---- lines ---- */

static int read_lines(struct bci_members *m, const char *text, const char **why)
{
	int rc = BCRAWL_OK;

	for (size_t n; *text && !rc; text += n + (text[n] == '\n')) {
		size_t from = strspn(text, BLANKS), upto;

		n = upto = strcspn(text, "\n");
		while (upto > from && strchr(BLANKS, text[upto - 1]))
			upto--;
		if (from < upto && text[from] != '#')
			rc = add(m, text + from, upto - from, why);
	}
	return rc;
}

/* ---- JSON ---- */

static const char *text_of(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	if (!json_object_is_type(o, json_type_object) ||
	    !json_object_object_get_ex(o, name, &v) || !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

static struct json_object *member_of(struct json_object *o, const char *name, enum json_type type)
{
	struct json_object *v = NULL;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, name, &v))
		return NULL;
	return json_object_is_type(v, type) ? v : NULL;
}

/* {"targets":["10.0.0.1:9273"],"labels":{}} */
static int add_targets(struct bci_members *m, struct json_object *targets, const char **why)
{
	int rc = BCRAWL_OK;

	for (size_t i = 0; i < json_object_array_length(targets) && !rc; i++) {
		struct json_object *t = json_object_array_get_idx(targets, i);
		const char *name = json_object_is_type(t, json_type_string)
					   ? json_object_get_string(t)
					   : "";

		rc = add(m, name, strlen(name), why);
	}
	return rc;
}

static bool is_critical(struct json_object *entry)
{
	struct json_object *checks = member_of(entry, "Checks", json_type_array);

	for (size_t i = 0; checks && i < json_object_array_length(checks); i++) {
		struct json_object *check = json_object_array_get_idx(checks, i);

		if (strcmp(text_of(check, "Status"), "critical") == 0)
			return true;
	}
	return false;
}

/* {"Node":{"Address":"10.0.0.1"},"Service":{"Address":"","Port":9273},
 * "Checks":[{"Status":"passing"}]}; an address of the service's own is optional. Whoever is
 * critical is on its way out of the list. */
static int add_service(struct bci_members *m, struct json_object *entry,
                       struct json_object *service, const char **why)
{
	const char *address = text_of(service, "Address");
	struct json_object *port = member_of(service, "Port", json_type_int);
	char name[BCI_MEMBER_BYTES_MAX + 2];
	bool v6;
	int n;

	if (is_critical(entry))
		return BCRAWL_OK;
	if (!*address)
		address = text_of(member_of(entry, "Node", json_type_object), "Address");
	v6 = strchr(address, ':');
	n = snprintf(name, sizeof(name), "%s%s%s:%d", v6 ? "[" : "", address, v6 ? "]" : "",
		     port ? json_object_get_int(port) : 0);
	/* One that is cut off is too long in any case. */
	return add(m, name, *address && n > 0 ? strlen(name) : 0, why);
}

static int read_json(struct bci_members *m, struct json_object *list, const char **why)
{
	int rc = BCRAWL_OK;

	for (size_t i = 0; i < json_object_array_length(list) && !rc; i++) {
		struct json_object *entry = json_object_array_get_idx(list, i);
		struct json_object *targets = member_of(entry, "targets", json_type_array);
		struct json_object *service = member_of(entry, "Service", json_type_object);

		if (targets) {
			rc = add_targets(m, targets, why);
		} else if (service) {
			rc = add_service(m, entry, service, why);
		} else {
			*why = "holds an entry that has neither targets nor a Service";
			rc = BCRAWL_E_PROTOCOL;
		}
	}
	return rc;
}

static int parse_json(struct bci_members *m, const char *text, size_t len, const char **why)
{
	struct json_tokener *tok = json_tokener_new_ex(BCI_JSON_DEPTH);
	struct json_object *list;
	int rc = BCRAWL_E_PROTOCOL;

	if (!tok)
		return BCRAWL_E_NOMEM;
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
	list = json_tokener_parse_ex(tok, text, (int)len + 1);
	*why = "is no whole JSON list";
	if (json_object_is_type(list, json_type_array))
		rc = read_json(m, list, why);
	json_object_put(list);
	json_tokener_free(tok);
	return rc;
}

/* The address of a member may begin with a bracket too. */
static bool is_json(const char *text)
{
	text += strspn(text, BLANKS);
	if (*text != '[')
		return *text == '{';
	text += 1 + strspn(text + 1, BLANKS);
	return *text == '{' || *text == ']' || *text == '\0';
}

int bci_roster_read(struct bci_members *m, const char *text, size_t len, const char **why)
{
	*why = "holds a zero byte";
	if (strlen(text) != len)
		return BCRAWL_E_PROTOCOL;
	return is_json(text) ? parse_json(m, text, len, why) : read_lines(m, text, why);
}
