/* SPDX-License-Identifier: MIT
 *
 * One device: from the API's object to checked values, and on to records. */
#ifndef BCI_EXTRACT_H
#define BCI_EXTRACT_H

#include "record.h"

struct json_object;

/* A device is in exactly one of these, decided in bci_device_read() and nowhere else. */
enum bci_connection {
	BCI_CONNECTED,
	BCI_DISCONNECTED,
	BCI_NEVER,
	BCI_INACTIVE,
	BCI_CONNECTION__COUNT
};

/* A device's values; text is borrowed from the object. */
struct bci_device {
	int64_t id, fleet_id;                /* fleet 0: belongs to none */
	uint64_t has, wrong;         /* fields that have a value; that are of a wrong type */
	double number[BCI_F__COUNT]; /* of all types but text; code of a word, id of a ref */
	const char *text[BCI_F__COUNT];
	const char *device_type, *release;   /* of expanded references, or NULL */
	enum bci_connection connection;
};

/* Reads the given fields. null and missing fields have no value; those of a wrong type or out of
 * range neither, and are counted.
 * BCRAWL_E_PROTOCOL: it has no id or no uuid, so it is no device. */
BCI_MUST_CHECK int bci_device_read(struct bci_device *d, const struct json_object *o,
                                   uint64_t fields, struct bci_stats *stats);

/* storage or memory usage ratio and the like; NAN if it cannot be told. */
double bci_device_ratio(const struct bci_device *d, enum bci_field usage, enum bci_field total);
/* 1, 0, or -1 if running or target release are not known. */
int bci_device_on_target(const struct bci_device *d);

/* Emits the device's records under the fleet's slug. 0 or BCRAWL_E_SINK. */
BCI_MUST_CHECK int bci_device_emit(const struct bci_device *d, const char *slug,
                                   struct bci_out *out, struct bci_record *scratch);

#endif
