/* SPDX-License-Identifier: MIT
 *
 * Request targets. The server's parser works on the raw query: ( ) , / : ; = and $ must stay as
 * they are, a blank is %20, and $orderby without a direction sorts downwards
 * (balena-api-live.md 5 and 8). What comes from outside are numbers, which need no escaping, and
 * texts of tags. */
#include "query.h"

#include <inttypes.h>
#include <string.h>

/* Host apps, blocks, apps and archived fleets are no fleets that anybody watches. */
#define FLEETS_ONLY                                                                                \
	"$filter=is_directly_accessible_by__user/any(dau:1%20eq%201)"                              \
	"%20and%20is_of__class%20eq%20'fleet'%20and%20is_host%20eq%20false"
#define NOT_ARCHIVED "%20and%20is_archived%20eq%20false"

#define IS_CONNECTED                                                                              \
	"(is_connected_to_vpn%20eq%20true%20or%20api_heartbeat_state%20in%20('online','timeout'))"
#define IS_NEVER                                                                                   \
	"is_connected_to_vpn%20eq%20false%20and%20api_heartbeat_state%20eq%20'unknown'"            \
	"%20and%20last_connectivity_event%20eq%20null"

static const char *const count_filters[] = {
	[BCI_COUNT_ALL] = NULL,
	[BCI_COUNT_ONLINE] = "is_connected_to_vpn%20eq%20true",
	[BCI_COUNT_CONNECTED] = IS_CONNECTED,
	[BCI_COUNT_NEVER] = IS_NEVER,
	[BCI_COUNT_INACTIVE] = "is_active%20eq%20false",
};

/* A text as the parser takes it: quoted, a quote doubled, all but the plainest bytes encoded. */
static void add_quoted(struct bci_buf *b, const char *text, size_t n)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

	bci_buf_adds(b, "'");
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\'')
			bci_buf_adds(b, "%27%27");
		else if (strchr(plain, text[i]))
			bci_buf_add(b, text + i, 1);
		else
			bci_buf_addf(b, "%%%02X", (unsigned)(unsigned char)text[i]);
	}
	bci_buf_adds(b, "'");
}

void bci_query_device_tag(struct bci_buf *b, const char *tag)
{
	const char *value = strchr(tag, '=');
	size_t n = value ? (size_t)(value - tag) : strlen(tag);

	bci_buf_adds(b, "device_tag/any(t:t/tag_key%20eq%20");
	add_quoted(b, tag, n);
	if (value) {
		bci_buf_adds(b, "%20and%20t/value%20eq%20");
		add_quoted(b, value + 1, strlen(value + 1));
	}
	bci_buf_adds(b, ")");
}

/* An expansion that asks for some tags: device_tag($select=...;$filter=tag_key in ('a','b')) */
static void add_tags(struct bci_buf *b, const char *nav, const struct bci_tags *tags)
{
	bci_buf_addf(b, "%s($select=tag_key,value;$filter=tag_key%%20in%%20", nav);
	for (size_t i = 0; i < tags->n; i++) {
		bci_buf_adds(b, i == 0 ? "(" : ",");
		add_quoted(b, tags->rows[i].key, strlen(tags->rows[i].key));
	}
	bci_buf_adds(b, "))");
}

/* owns__device/$count($filter=...) */
static void add_count(struct bci_buf *b, const struct bci_fleet_query *q)
{
	const char *open = "($filter=", *and = open;

	bci_buf_adds(b, "owns__device/$count");
	if (count_filters[q->count]) {
		bci_buf_addf(b, "%s%s", and, count_filters[q->count]);
		and = "%20and%20";
	}
	if (q->activation && (q->count == BCI_COUNT_CONNECTED || q->count == BCI_COUNT_NEVER))
		bci_buf_adds(b, "%20and%20is_active%20eq%20true");
	if (*q->device_tag) {
		bci_buf_addf(b, "%s%s", and, q->device_tag);
		and = "%20and%20";
	}
	if (and != open)
		bci_buf_adds(b, ")");
}

void bci_query_fleets(struct bci_buf *b, const struct bci_fleet_query *q)
{
	bool all = q->count == BCI_COUNT_ALL;

	bci_buf_addf(b, "/v%d/application?$select=id", q->version);
	if (all)
		bci_buf_adds(b, ",app_name,slug,should_track_latest_release");
	bci_buf_adds(b, "&$expand=");
	if (all)
		bci_buf_adds(
			b, "organization($select=handle),is_for__device_type($select=slug),"
			   "should_be_running__release($select=id,commit,raw_version,created_at),");
	if (all && q->latest)
		bci_buf_adds(b, "owns__release($select=status;$orderby=id%20desc;$top=1),");
	if (all && q->tags->n > 0) {
		add_tags(b, "application_tag", q->tags);
		bci_buf_adds(b, ",");
	}
	add_count(b, q);
	bci_buf_adds(b, "&" FLEETS_ONLY);
	bci_buf_adds(b, q->archived ? "" : NOT_ARCHIVED);
	bci_buf_adds(b, "&$orderby=id%20asc");
}

void bci_query_probe(struct bci_buf *b, int version, const char *field)
{
	bci_buf_addf(b, "/v%d/device?$select=id%s%s&$top=0", version, field ? "," : "",
	             field ? field : "");
}

void bci_query_anonymous(struct bci_buf *b, int version)
{
	bci_buf_addf(b, "/v%d/device_type?$select=id&$top=1", version);
}

void bci_query_fleet_filter(struct bci_buf *b, const int64_t *ids, size_t n, const char *device_tag)
{
	bci_buf_adds(b, "belongs_to__application");
	if (n == 0)
		bci_buf_adds(b, "%20eq%20null");
	for (size_t i = 0; i < n; i++)
		bci_buf_addf(b, "%s%" PRId64, i == 0 ? "%20in%20(" : ",", ids[i]);
	if (n > 0)
		bci_buf_adds(b, ")");
	if (*device_tag)
		bci_buf_addf(b, "%%20and%%20%s", device_tag);
}

/* What is to be selected: not what is expanded, and nothing twice. */
static uint64_t selected(uint64_t fields)
{
	for (size_t i = 0; i < BCI_F__COUNT; i++)
		if (bci_fields[i].expand || bci_fields[i].type == BCI_TYPE_ROWS)
			fields &= ~BCI_BIT(i);
	return fields & ~BCI_BIT(BCI_F_ID);
}

void bci_query_devices(struct bci_buf *b, const struct bci_device_query *q)
{
	const char *separator = "&$expand=";
	uint64_t select = selected(q->fields);

	/* Its name comes with its id. */
	if (q->fields & BCI_BIT(BCI_F_RELEASE_NAME))
		select &= ~BCI_BIT(BCI_F_RUNNING_RELEASE);
	bci_buf_addf(b, "/v%d/device?$select=id", q->version);
	for (size_t i = 0; i < BCI_F__COUNT; i++)
		if (select & BCI_BIT(i))
			bci_buf_addf(b, ",%s", bci_fields[i].name);
	for (size_t i = 0; i < BCI_F__COUNT; i++) {
		if (!(q->fields & BCI_BIT(i)) || i == BCI_F_TAGS || !bci_fields[i].expand)
			continue;
		bci_buf_addf(b, "%s%s(%s)", separator, bci_fields[i].name, bci_fields[i].expand);
		separator = ",";
	}
	if ((q->fields & BCI_BIT(BCI_F_TAGS)) && q->tags->n > 0) {
		bci_buf_adds(b, separator);
		add_tags(b, bci_fields[BCI_F_TAGS].name, q->tags);
	}
	bci_buf_addf(b, "&$filter=%s", q->filter);
	if (q->after)
		bci_buf_addf(b, "%%20and%%20id%%20gt%%20%" PRId64, q->after);
	if (q->upto)
		bci_buf_addf(b, "%%20and%%20id%%20le%%20%" PRId64, q->upto);
	bci_buf_adds(b, "&$orderby=id%20asc");
}
