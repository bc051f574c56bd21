/* SPDX-License-Identifier: MIT
 *
 * The table of the device fields that we read from the API: name, type, range, words. */
#ifndef BCI_FIELD_H
#define BCI_FIELD_H

#include "internal.h"

enum bci_field {
	BCI_F_ID,
	BCI_F_UUID,
	BCI_F_FLEET,
	BCI_F_TARGET_RELEASE,
	BCI_F_DEVICE_NAME,
	BCI_F_DEVICE_TYPE,
	BCI_F_RUNNING_RELEASE,
	BCI_F_RELEASE_NAME, /* of the running release */
	BCI_F_PINNED_RELEASE,
	BCI_F_VPN,
	BCI_F_HEARTBEAT,
	BCI_F_STATUS, /* behind what version 6 needs to tell it */
	BCI_F_LAST_CONNECTIVITY,
	BCI_F_VPN_CHANGED,
	BCI_F_HEARTBEAT_CHANGED,
	BCI_F_CPU_USAGE,
	BCI_F_CPU_TEMP,
	BCI_F_UNDERVOLTED,
	BCI_F_MEMORY_USAGE,
	BCI_F_MEMORY_TOTAL,
	BCI_F_STORAGE_USAGE,
	BCI_F_STORAGE_TOTAL,
	BCI_F_UPDATE_STATUS,
	BCI_F_UPDATE_CHANGED,
	BCI_F_PROGRESS,
	BCI_F_PROVISIONING_PROGRESS,
	BCI_F_OS_VERSION,
	BCI_F_OS_VARIANT,
	BCI_F_SUPERVISOR_VERSION,
	BCI_F_TARGET_OS,
	BCI_F_TARGET_SUPERVISOR,
	BCI_F_WEB_ACCESSIBLE,
	BCI_F_LOCKED_UNTIL,
	BCI_F_CREATED,
	BCI_F_MODIFIED,
	BCI_F_ACTIVE,
	BCI_F_FROZEN,
	BCI_F_LATITUDE,
	BCI_F_LONGITUDE,
	BCI_F_CUSTOM_LATITUDE,
	BCI_F_CUSTOM_LONGITUDE,
	BCI_F_TAGS,
	BCI_F_INSTALLS,
	BCI_F__COUNT
};
_Static_assert(BCI_F__COUNT <= 64, "a set of fields is one uint64_t");

#define BCI_BIT(f) (UINT64_C(1) << (f))

/* What the state of a device is decided from. */
#define BCI_STATE_FIELDS                                                                           \
	(BCI_BIT(BCI_F_STATUS) | BCI_BIT(BCI_F_VPN) | BCI_BIT(BCI_F_HEARTBEAT) |                   \
	 BCI_BIT(BCI_F_LAST_CONNECTIVITY))
/* What the states of a device's services are told from. */
#define BCI_SERVICE_FIELDS                                                                         \
	(BCI_BIT(BCI_F_INSTALLS) | BCI_BIT(BCI_F_RUNNING_RELEASE) | BCI_STATE_FIELDS)

enum bci_field_type {
	BCI_TYPE_NUMBER,      /* whole, within min and max */
	BCI_TYPE_NUMBER_TEXT, /* any within min and max, written as a string */
	BCI_TYPE_BOOL,
	BCI_TYPE_DATE,
	BCI_TYPE_WORD,        /* one of words; its code is the index + 1, 0 for any other */
	BCI_TYPE_TEXT,
	BCI_TYPE_REF,         /* the id of the row it refers to */
	BCI_TYPE_NAME,        /* a text of the row it refers to: the first of members it has */
	BCI_TYPE_ROWS         /* rows that refer to the device; read by files of their own */
};

struct bci_field_row {
	const char         *name;
	enum bci_field_type type;
	double              min, max;
	const char *const  *words;  /* BCI_TYPE_WORD: NULL-terminated */
	const char *const  *members; /* BCI_TYPE_NAME: NULL-terminated */
	const char         *expand; /* options of $expand; NULL: it is selected */
	bool                probe;  /* not every server has it */
	bool                since7; /* version 6 of the API has none */
};

extern const struct bci_field_row bci_fields[BCI_F__COUNT];

/* The vocabularies, in the order of their codes (metrics.md, Codes); never renumbered. */
extern const char *const bci_status_words[];
extern const char *const bci_heartbeat_words[];
extern const char *const bci_update_words[];
extern const char *const bci_service_words[];
extern const char *const bci_release_words[];

/* The code of a word in its vocabulary, 0 for one that is not there. */
size_t bci_word_code(const char *const *words, const char *text);

#endif
