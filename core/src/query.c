/* SPDX-License-Identifier: MIT
 *
 * Request targets. The server's parser works on the raw query: ( ) , / : ; = and $ must stay as
 * they are, a blank is %20, and $orderby without a direction sorts downwards
 * (balena-api-live.md 5 and 8). Nothing here comes from outside but numbers, so nothing needs
 * escaping. */
#include "query.h"

#include <inttypes.h>

/* Host apps, blocks, apps and archived fleets are no fleets that anybody watches. */
#define FLEETS_ONLY                                                                                \
	"$filter=is_directly_accessible_by__user/any(dau:1%20eq%201)"                              \
	"%20and%20is_of__class%20eq%20'fleet'%20and%20is_host%20eq%20false"                        \
	"%20and%20is_archived%20eq%20false&$orderby=id%20asc"

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

void bci_query_fleets(struct bci_buf *b, int version, enum bci_count count, bool activation)
{
	const char *filter = count_filters[count];

	bci_buf_addf(b, "/v%d/application?$select=id", version);
	if (count == BCI_COUNT_ALL)
		bci_buf_adds(b, ",app_name,slug,should_track_latest_release");
	bci_buf_adds(b, "&$expand=");
	if (count == BCI_COUNT_ALL)
		bci_buf_adds(
			b, "organization($select=handle),is_for__device_type($select=slug),"
			   "should_be_running__release($select=id,commit,raw_version,created_at),");
	bci_buf_adds(b, "owns__device/$count");
	if (filter)
		bci_buf_addf(
			b, "($filter=%s%s)", filter,
			activation && (count == BCI_COUNT_CONNECTED || count == BCI_COUNT_NEVER)
				? "%20and%20is_active%20eq%20true"
				: "");
	bci_buf_adds(b, "&" FLEETS_ONLY);
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

void bci_query_fleet_filter(struct bci_buf *b, const int64_t *ids, size_t n)
{
	bci_buf_adds(b, "belongs_to__application");
	if (n == 0)
		bci_buf_adds(b, "%20eq%20null");
	for (size_t i = 0; i < n; i++)
		bci_buf_addf(b, "%s%" PRId64, i == 0 ? "%20in%20(" : ",", ids[i]);
	if (n > 0)
		bci_buf_adds(b, ")");
}

/* Whether a field is asked for by expanding it, and so not to be selected. */
static bool is_expanded(const struct bci_device_query *q, size_t field)
{
	return q->info && (q->fields & BCI_BIT(field)) && bci_fields[field].expand;
}

void bci_query_devices(struct bci_buf *b, const struct bci_device_query *q)
{
	const char *separator = "&$expand=";

	bci_buf_addf(b, "/v%d/device?$select=id", q->version);
	for (size_t i = BCI_F_ID + 1; i < BCI_F__COUNT; i++)
		if ((q->fields & BCI_BIT(i)) && !is_expanded(q, i))
			bci_buf_addf(b, ",%s", bci_fields[i].name);
	for (size_t i = 0; i < BCI_F__COUNT; i++) {
		if (!is_expanded(q, i))
			continue;
		bci_buf_addf(b, "%s%s", separator, bci_fields[i].expand);
		separator = ",";
	}
	bci_buf_addf(b, "&$filter=%s", q->filter);
	if (q->after)
		bci_buf_addf(b, "%%20and%%20id%%20gt%%20%" PRId64, q->after);
	if (q->upto)
		bci_buf_addf(b, "%%20and%%20id%%20le%%20%" PRId64, q->upto);
	bci_buf_adds(b, "&$orderby=id%20asc");
}
