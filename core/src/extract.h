/* SPDX-License-Identifier: MIT
 *
 * One device: from the API's object to checked values, and on to records. */
#ifndef BCI_EXTRACT_H
#define BCI_EXTRACT_H

#include "record.h"
#include "tags.h"

struct json_object;

/* A device is in exactly one of these, decided in bci_device_read() and nowhere else. */
enum bci_connection {
	BCI_CONNECTED,
	BCI_DISCONNECTED,
	BCI_NEVER,
	BCI_INACTIVE,
	BCI_CONNECTION__COUNT
};

/* How devices are read: the same for all of a crawl. */
struct bci_reading {
	int      version;    /* of the API */
	uint64_t fields;     /* that were asked for */
	bool     keep_stale; /* what a device reported last counts though it is not connected */
	struct bci_stats *stats;
};

/* A device's values; text and rows are borrowed from the object. */
struct bci_device {
	int64_t id, fleet_id;                /* fleet 0: belongs to none */
	uint64_t has, wrong;         /* fields that have a value; whose value was rejected */
	double number[BCI_F__COUNT]; /* of all types but text; code of a word, id of a ref */
	const char *text[BCI_F__COUNT];
	const struct json_object *rows; /* that hold the fields of BCI_TYPE_ROWS */
	enum bci_connection connection;
	bool speaks; /* what it reported is true now, or is to be passed on all the same */
};

/* null and missing fields have no value; those of a wrong type or out of range neither, and are
 * counted.
 * BCRAWL_E_PROTOCOL: it has no id or no uuid, so it is no device. */
BCI_MUST_CHECK int bci_device_read(struct bci_device *d, const struct json_object *o,
                                   const struct bci_reading *how);

/* In version 6 the target release is told for pinned devices only; for others it is their
 * fleet's (0: none, or not known). To be called before anything is made of such a device. */
void bci_device_add_target(struct bci_device *d, int64_t fleet_target);

/* Whether a field has a value. */
static inline bool bci_device_has(const struct bci_device *d, enum bci_field f)
{
	return d->has & BCI_BIT(f);
}

/* storage or memory usage ratio and the like; NAN if it cannot be told. */
double bci_device_ratio(const struct bci_device *d, enum bci_field usage, enum bci_field total);
/* 1, 0, or -1 if running or target release are not known. */
int bci_device_on_target(const struct bci_device *d);

/* An empty record of the scope, with the labels that name the device. */
void bci_device_record(const struct bci_device *d, const char *slug, enum bcrawl_scope scope,
                       struct bci_out *out, struct bci_record *r);

/* Emits the device's records under the fleet's slug. 0 or BCRAWL_E_SINK. */
BCI_MUST_CHECK int bci_device_emit(const struct bci_device *d, const char *slug,
                                   const struct bci_tags *tags, struct bci_out *out,
                                   struct bci_record *scratch);

#endif
