/* SPDX-License-Identifier: MIT
 *
 * Request targets, to the byte: the server's parser works on the raw query and is not forgiving. */
#include "limits.h"
#include "metrics.h"
#include "query.h"
#include "unit.h"

#define FLEETS_ONLY                                                                                \
	"&$filter=is_directly_accessible_by__user/any(dau:1%20eq%201)"                              \
	"%20and%20is_of__class%20eq%20'fleet'%20and%20is_host%20eq%20false"
#define FLEETS_TAIL FLEETS_ONLY "%20and%20is_archived%20eq%20false&$orderby=id%20asc"
#define CONNECTED                                                                                  \
	"(is_connected_to_vpn%20eq%20true%20or%20api_heartbeat_state%20in%20('online','timeout'))"
#define NEVER                                                                                      \
	"is_connected_to_vpn%20eq%20false%20and%20api_heartbeat_state%20eq%20'unknown'"             \
	"%20and%20last_connectivity_event%20eq%20null"

/* What breaks a request at the server (balena-api-live.md 5), whatever it is part of. */
static void check_target(const char *name, const char *target)
{
	static const char *const never[] = {
		" ",   "+",   "\t",  "\"", "%2C", "%2c", "%28", "%29", "%2F", "%2f", "%3A", "%3a",
		"%3B", "%3b", "%3D", "%3d", "%24", "//",  ",,",  "&&",  ",)",  "(,",  ",&",  "=,",
		"$orderby=id&", "#", "\\",
	};
	size_t n = strlen(target);

	for (size_t i = 0; i < LEN(never); i++) {
		const char *hit = strstr(target, never[i]);
		size_t quotes = 0;

		/* Within a quoted string anything may be encoded. */
		for (const char *c = target; hit && c < hit; c++)
			quotes += *c == '\'';
		if (hit && (quotes % 2 == 0 || never[i][0] != '%')) {
			print_error("case \"%s\": \"%s\" in %s\n", name, never[i], target);
			fail();
		}
	}
	CHECK(name, target[0] == '/' && target[n - 1] != '&' && target[n - 1] != '/');
	CHECK(name, target[n - 1] != ',' && target[n - 1] != '=');
	for (; *target; target++)
		CHECK(name, (unsigned char)*target > 0x20 && (unsigned char)*target < 0x7f);
}

static void test_fleets(void **state)
{
	static const struct {
		const char *name;
		int version;
		enum bci_count count;
		bool activation;
		const char *want;
		bool archived, latest;
		const char *tag, *keys;
	} cases[] = {
		{ "list", 7, BCI_COUNT_ALL, false,
		  "/v7/application?$select=id,app_name,slug,should_track_latest_release"
		  "&$expand=organization($select=handle),is_for__device_type($select=slug),"
		  "should_be_running__release($select=id,commit,raw_version,created_at),"
		  "owns__device/$count" FLEETS_TAIL, false, false, NULL, NULL },
		{ "list, with activation", 7, BCI_COUNT_ALL, true,
		  "/v7/application?$select=id,app_name,slug,should_track_latest_release"
		  "&$expand=organization($select=handle),is_for__device_type($select=slug),"
		  "should_be_running__release($select=id,commit,raw_version,created_at),"
		  "owns__device/$count" FLEETS_TAIL, false, false, NULL, NULL },
		{ "online", 7, BCI_COUNT_ONLINE, false,
		  "/v7/application?$select=id&$expand=owns__device/$count($filter="
		  "is_connected_to_vpn%20eq%20true)" FLEETS_TAIL, false, false, NULL, NULL },
		{ "online, with activation: a VPN count is a VPN count", 7, BCI_COUNT_ONLINE, true,
		  "/v7/application?$select=id&$expand=owns__device/$count($filter="
		  "is_connected_to_vpn%20eq%20true)" FLEETS_TAIL, false, false, NULL, NULL },
		{ "connected", 7, BCI_COUNT_CONNECTED, false,
		  "/v7/application?$select=id&$expand=owns__device/$count($filter=" CONNECTED ")" FLEETS_TAIL, false, false, NULL, NULL },
		{ "connected, with activation", 7, BCI_COUNT_CONNECTED, true,
		  "/v7/application?$select=id&$expand=owns__device/$count($filter=" CONNECTED
		  "%20and%20is_active%20eq%20true)" FLEETS_TAIL, false, false, NULL, NULL },
		{ "never", 7, BCI_COUNT_NEVER, false,
		  "/v7/application?$select=id&$expand=owns__device/$count($filter=" NEVER ")" FLEETS_TAIL, false, false, NULL, NULL },
		{ "never, with activation", 7, BCI_COUNT_NEVER, true,
		  "/v7/application?$select=id&$expand=owns__device/$count($filter=" NEVER
		  "%20and%20is_active%20eq%20true)" FLEETS_TAIL, false, false, NULL, NULL },
		{ "inactive", 7, BCI_COUNT_INACTIVE, true,
		  "/v7/application?$select=id&$expand=owns__device/$count($filter="
		  "is_active%20eq%20false)" FLEETS_TAIL, false, false, NULL, NULL },
		{ "another version", 6, BCI_COUNT_ONLINE, false,
		  "/v6/application?$select=id&$expand=owns__device/$count($filter="
		  "is_connected_to_vpn%20eq%20true)" FLEETS_TAIL, false, false, NULL, NULL },
		{ "archived fleets too", 7, BCI_COUNT_ONLINE, false,
		  "/v7/application?$select=id&$expand=owns__device/$count($filter="
		  "is_connected_to_vpn%20eq%20true)" FLEETS_ONLY "&$orderby=id%20asc", true, false, NULL, NULL },
		{ "newest release and tags", 7, BCI_COUNT_ALL, false,
		  "/v7/application?$select=id,app_name,slug,should_track_latest_release"
		  "&$expand=organization($select=handle),is_for__device_type($select=slug),"
		  "should_be_running__release($select=id,commit,raw_version,created_at),"
		  "owns__release($select=status;$orderby=id%20desc;$top=1),"
		  "application_tag($select=tag_key,value;$filter=tag_key%20in%20('env','a%3Db')),"
		  "owns__device/$count" FLEETS_TAIL, false, true, NULL, "env,a=b" },
		{ "counts need neither", 7, BCI_COUNT_ONLINE, false,
		  "/v7/application?$select=id&$expand=owns__device/$count($filter="
		  "is_connected_to_vpn%20eq%20true)" FLEETS_TAIL, false, true, NULL, "env" },
		{ "all with a tag", 7, BCI_COUNT_ALL, false,
		  "/v7/application?$select=id,app_name,slug,should_track_latest_release"
		  "&$expand=organization($select=handle),is_for__device_type($select=slug),"
		  "should_be_running__release($select=id,commit,raw_version,created_at),"
		  "owns__device/$count($filter=TAGGED)" FLEETS_TAIL, false, false, "TAGGED", NULL },
		{ "never with activation and a tag", 7, BCI_COUNT_NEVER, true,
		  "/v7/application?$select=id&$expand=owns__device/$count($filter=" NEVER
		  "%20and%20is_active%20eq%20true%20and%20TAGGED)" FLEETS_TAIL, false, false, "TAGGED", NULL },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_tags tags;
		struct bci_buf b;

		CHECK_INT(cases[i].name,
		          bci_tags_parse(&tags, cases[i].keys ? cases[i].keys : "", NULL), 0);
		bci_buf_init(&b, BCI_URL_MAX);
		bci_query_fleets(&b, &(struct bci_fleet_query){
			.version = cases[i].version, .count = cases[i].count,
			.activation = cases[i].activation, .archived = cases[i].archived,
			.latest = cases[i].latest, .device_tag = cases[i].tag ? cases[i].tag : "", .tags = &tags });
		CHECK_INT(cases[i].name, b.failed, 0);
		CHECK_STR(cases[i].name, b.data, cases[i].want);
		check_target(cases[i].name, b.data);
		/* Of two counts of one navigation the last one would silently win. */
		CHECK(cases[i].name, !strstr(strstr(b.data, "/$count") + 1, "/$count"));
		bci_buf_fini(&b);
		bci_tags_free(&tags);
	}
}

static void test_probes(void **state)
{
	struct bci_buf b;

	(void)state;
	bci_buf_init(&b, BCI_URL_MAX);
	bci_query_probe(&b, 7, NULL);
	assert_string_equal(b.data, "/v7/device?$select=id&$top=0");
	bci_buf_reset(&b);
	bci_query_probe(&b, 6, NULL);
	assert_string_equal(b.data, "/v6/device?$select=id&$top=0");
	bci_buf_reset(&b);
	bci_query_probe(&b, 7, "is_active");
	assert_string_equal(b.data, "/v7/device?$select=id,is_active&$top=0");
	bci_buf_reset(&b);
	bci_query_anonymous(&b, 7);
	assert_string_equal(b.data, "/v7/device_type?$select=id&$top=1");
	bci_buf_fini(&b);
}

static void test_device_tag(void **state)
{
	static const char *const cases[][2] = {
		{ "site", "device_tag/any(t:t/tag_key%20eq%20'site')" },
		{ "site=berlin", "device_tag/any(t:t/tag_key%20eq%20'site'%20and%20t/value%20eq%20'berlin')" },
		{ "site=", "device_tag/any(t:t/tag_key%20eq%20'site'%20and%20t/value%20eq%20'')" },
		{ "site=a=b", "device_tag/any(t:t/tag_key%20eq%20'site'%20and%20t/value%20eq%20'a%3Db')" },
		{ "o'neil=it''s", "device_tag/any(t:t/tag_key%20eq%20'o%27%27neil'%20and%20t/value%20eq%20'it%27%27%27%27s')" },
		{ "k=K\xc3\xb6ln/\xe2\x82\xac (1), #2; 100%", "device_tag/any(t:t/tag_key%20eq%20'k'%20and%20t/value%20eq%20"
		  "'K%C3%B6ln%2F%E2%82%AC%20%281%29%2C%20%232%3B%20100%25')" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_buf b;

		bci_buf_init(&b, BCI_URL_MAX);
		bci_query_device_tag(&b, cases[i][0]);
		CHECK_STR(cases[i][0], b.data, cases[i][1]);
		bci_buf_fini(&b);
	}
}

static void test_fleet_filter(void **state)
{
	static const struct {
		const char *name;
		int64_t ids[4];
		size_t n;
		const char *tag, *want;
	} cases[] = {
		{ "no fleet", { 0 }, 0, "", "belongs_to__application%20eq%20null" },
		{ "one", { 7 }, 1, "", "belongs_to__application%20in%20(7)" },
		{ "some", { 1, 20, 300 }, 3, "", "belongs_to__application%20in%20(1,20,300)" },
		{ "tagged", { 1, 20 }, 2, "TAGGED", "belongs_to__application%20in%20(1,20)%20and%20TAGGED" },
		{ "tagged, of no fleet", { 0 }, 0, "TAGGED", "belongs_to__application%20eq%20null%20and%20TAGGED" },
		{ "long", { INT64_C(9007199254740991), INT64_C(9223372036854775806) }, 2, "",
		  "belongs_to__application%20in%20(9007199254740991,9223372036854775806)" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_buf b;

		bci_buf_init(&b, BCI_URL_MAX);
		bci_query_fleet_filter(&b, cases[i].ids, cases[i].n, cases[i].tag);
		CHECK_STR(cases[i].name, b.data, cases[i].want);
		bci_buf_fini(&b);
	}
}

#define MUST (BCI_BIT(BCI_F_ID) | BCI_BIT(BCI_F_UUID) | BCI_BIT(BCI_F_FLEET))
#define FILTER "belongs_to__application%20in%20(1,2)"

static void test_devices(void **state)
{
	static const struct {
		const char *name;
		struct bci_device_query q;
		const char *want;
	} cases[] = {
		{ "ids", { 7, 0, NULL, FILTER, 0, 0 },
		  "/v7/device?$select=id&$filter=" FILTER "&$orderby=id%20asc" },
		{ "ids, from the middle", { 7, 0, NULL, FILTER, 12, 0 },
		  "/v7/device?$select=id&$filter=" FILTER "%20and%20id%20gt%2012&$orderby=id%20asc" },
		{ "id is selected once", { 7, BCI_BIT(BCI_F_ID), NULL, FILTER, 0, 0 },
		  "/v7/device?$select=id&$filter=" FILTER "&$orderby=id%20asc" },
		{ "a range", { 7, MUST, NULL, FILTER, 100, 200 },
		  "/v7/device?$select=id,uuid,belongs_to__application&$filter=" FILTER
		  "%20and%20id%20gt%20100%20and%20id%20le%20200&$orderby=id%20asc" },
		{ "the first range", { 7, MUST, NULL, FILTER, 0, 200 },
		  "/v7/device?$select=id,uuid,belongs_to__application&$filter=" FILTER
		  "%20and%20id%20le%20200&$orderby=id%20asc" },
		{ "the last range", { 7, MUST, NULL, FILTER, 200, 0 },
		  "/v7/device?$select=id,uuid,belongs_to__application&$filter=" FILTER
		  "%20and%20id%20gt%20200&$orderby=id%20asc" },
		{ "fields in the order of the table",
		  { 7, MUST | BCI_BIT(BCI_F_CPU_TEMP) | BCI_BIT(BCI_F_STATUS) | BCI_BIT(BCI_F_MODIFIED), NULL,
		    FILTER, 0, 0 },
		  "/v7/device?$select=id,uuid,belongs_to__application,overall_status,cpu_temp,modified_at"
		  "&$filter=" FILTER "&$orderby=id%20asc" },
		{ "references are selected where their id will do",
		  { 7, MUST | BCI_BIT(BCI_F_RUNNING_RELEASE) | BCI_BIT(BCI_F_TARGET_RELEASE), NULL, FILTER, 0, 0 },
		  "/v7/device?$select=id,uuid,belongs_to__application,should_be_running__release,"
		  "is_running__release&$filter=" FILTER "&$orderby=id%20asc" },
		{ "references are expanded where a name is needed",
		  { 7, MUST | BCI_BIT(BCI_F_RUNNING_RELEASE) | BCI_BIT(BCI_F_RELEASE_NAME) |
		       BCI_BIT(BCI_F_DEVICE_TYPE) | BCI_BIT(BCI_F_DEVICE_NAME), NULL, FILTER, 5, 0 },
		  "/v7/device?$select=id,uuid,belongs_to__application,device_name"
		  "&$expand=is_of__device_type($select=slug),"
		  "is_running__release($select=id,commit,raw_version)"
		  "&$filter=" FILTER "%20and%20id%20gt%205&$orderby=id%20asc" },
		{ "one is expanded", { 7, MUST | BCI_BIT(BCI_F_DEVICE_TYPE), NULL, FILTER, 0, 0 },
		  "/v7/device?$select=id,uuid,belongs_to__application"
		  "&$expand=is_of__device_type($select=slug)&$filter=" FILTER "&$orderby=id%20asc" },
		{ "none is expanded", { 7, MUST, NULL, FILTER, 0, 0 },
		  "/v7/device?$select=id,uuid,belongs_to__application&$filter=" FILTER "&$orderby=id%20asc" },
		{ "of no fleet", { 7, MUST, NULL, "belongs_to__application%20eq%20null", 3, 0 },
		  "/v7/device?$select=id,uuid,belongs_to__application"
		  "&$filter=belongs_to__application%20eq%20null%20and%20id%20gt%203&$orderby=id%20asc" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_buf b;

		bci_buf_init(&b, BCI_URL_MAX);
		bci_query_devices(&b, &cases[i].q);
		CHECK_STR(cases[i].name, b.data, cases[i].want);
		check_target(cases[i].name, b.data);
		bci_buf_fini(&b);
	}
}

/* What is expanded beside names: tags, installs and targets. */
static void test_expansions(void **state)
{
	static const struct {
		const char *name;
		uint64_t fields;
		const char *keys, *want;
	} cases[] = {
		{ "tags", BCI_BIT(BCI_F_TAGS), "site,Asset-ID",
		  "device_tag($select=tag_key,value;$filter=tag_key%20in%20('site','Asset-ID'))" },
		{ "one tag", BCI_BIT(BCI_F_TAGS), "it's", "device_tag($select=tag_key,value;$filter=tag_key%20in%20('it%27%27s'))" },
		{ "installs", BCI_BIT(BCI_F_INSTALLS), "",
		  "image_install($select=status,download_progress,install_date,is_provided_by__release;"
		  "$filter=status%20ne%20'deleted';"
		  "$expand=image($select=id;$expand=is_a_build_of__service($select=service_name)))" },
		{ "target OS", BCI_BIT(BCI_F_TARGET_OS), "", "should_be_operated_by__release($select=semver,revision)" },
		{ "target supervisor", BCI_BIT(BCI_F_TARGET_SUPERVISOR), "",
		  "should_be_managed_by__release($select=semver,revision)" },
		{ "several, tags last", BCI_BIT(BCI_F_TAGS) | BCI_BIT(BCI_F_TARGET_OS) | BCI_BIT(BCI_F_DEVICE_TYPE), "x",
		  "is_of__device_type($select=slug),should_be_operated_by__release($select=semver,revision),"
		  "device_tag($select=tag_key,value;$filter=tag_key%20in%20('x'))" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		struct bci_device_query q = { .version = 6, .fields = MUST | cases[i].fields, .filter = FILTER };
		char want[1024];
		struct bci_tags tags;
		struct bci_buf b;

		CHECK_INT(cases[i].name, bci_tags_parse(&tags, cases[i].keys, NULL), 0);
		q.tags = &tags;
		bci_buf_init(&b, BCI_URL_MAX);
		bci_query_devices(&b, &q);
		snprintf(want, sizeof(want),
		         "/v6/device?$select=id,uuid,belongs_to__application&$expand=%s&$filter=%s"
		         "&$orderby=id%%20asc", cases[i].want, FILTER);
		CHECK_STR(cases[i].name, b.data, want);
		check_target(cases[i].name, b.data);
		bci_buf_fini(&b);
		bci_tags_free(&tags);
	}
}

static void target_for(struct bci_buf *b, const char *metrics)
{
	bool wanted[BCI_M__COUNT];
	struct bci_device_query q = { .version = 7, .filter = FILTER };

	assert_true(bci_metrics_select(metrics, wanted));
	q.fields = bci_metrics_fields(wanted) | MUST;
	bci_buf_init(b, BCI_URL_MAX);
	bci_query_devices(b, &q);
	assert_int_equal(b->failed, 0);
	check_target(metrics, b->data);
}

/* What no wanted metric needs is not asked for. */
static void test_select_shrinks(void **state)
{
	static const struct {
		const char *metrics, *select;
	} cases[] = {
		{ "balena_device_cpu_usage_ratio",
		  "id,uuid,belongs_to__application,is_connected_to_vpn,api_heartbeat_state,overall_status,"
		  "last_connectivity_event,cpu_usage" },
		{ "balena_device_status_code", "id,uuid,belongs_to__application,overall_status" },
		{ "balena_device_vpn_connected", "id,uuid,belongs_to__application,is_connected_to_vpn" },
		{ "balena_devices_online", "id,uuid,belongs_to__application,is_connected_to_vpn" },
		{ "balena_fleet_devices", "id,uuid,belongs_to__application" },
		{ "balena_fleet_info", "id,uuid,belongs_to__application" },
		{ "balena_device_created_timestamp_seconds", "id,uuid,belongs_to__application,created_at" },
		{ "balena_device_pinned", "id,uuid,belongs_to__application,is_pinned_on__release" },
		{ "balena_device_on_target_release",
		  "id,uuid,belongs_to__application,should_be_running__release,is_running__release" },
		{ "balena_device_memory_usage_ratio",
		  "id,uuid,belongs_to__application,is_connected_to_vpn,api_heartbeat_state,overall_status,"
		  "last_connectivity_event,memory_usage,memory_total" },
		{ "balena_device_latitude_degrees",
		  "id,uuid,belongs_to__application,latitude,custom_latitude" },
		{ "balena_fleet_devices_by_rollout",
		  "id,uuid,belongs_to__application,should_be_running__release,is_running__release,"
		  "is_connected_to_vpn,api_heartbeat_state,overall_status,last_connectivity_event" },
		{ "balena_fleet_devices_by_update_status",
		  "id,uuid,belongs_to__application,is_connected_to_vpn,api_heartbeat_state,overall_status,"
		  "last_connectivity_event,update_status" },
		{ "balena_device_offline_since_timestamp_seconds",
		  "id,uuid,belongs_to__application,is_connected_to_vpn,api_heartbeat_state,overall_status,"
		  "last_connectivity_event,last_vpn_event,changed_api_heartbeat_state_on__date" },
		{ "balena_crawl_success", "id,uuid,belongs_to__application" },
		{ "balena_fleet_devices_by_os_version", "id,uuid,belongs_to__application,os_version" },
		{ "balena_fleet_devices_by_supervisor_version", "id,uuid,belongs_to__application,supervisor_version" },
		{ "balena_fleet_devices_by_device_type",
		  "id,uuid,belongs_to__application&$expand=is_of__device_type($select=slug)" },
		{ "balena_fleet_devices_by_release",
		  "id,uuid,belongs_to__application&$expand=is_running__release($select=id,commit,raw_version)" },
		{ "balena_device_os_update_pending",
		  "id,uuid,belongs_to__application,os_version&$expand="
		  "should_be_operated_by__release($select=semver,revision)" },
		{ "balena_fleet_latest_release_status_code", "id,uuid,belongs_to__application" },
	};

	(void)state;
	for (size_t i = 0; i < LEN(cases); i++) {
		char want[512];
		struct bci_buf b;

		target_for(&b, cases[i].metrics);
		snprintf(want, sizeof(want), "/v7/device?$select=%s&$filter=%s&$orderby=id%%20asc",
		         cases[i].select, FILTER);
		CHECK_STR(cases[i].metrics, b.data, want);
		bci_buf_fini(&b);
	}
}

/* Every set names all fields it needs, and a larger set a longer target. */
static void test_sets(void **state)
{
	static const char *const sets[] = { "@lean", "@standard", "@all" };
	size_t length = 0;

	(void)state;
	for (size_t i = 0; i < LEN(sets); i++) {
		struct bci_buf b;

		target_for(&b, sets[i]);
		CHECK(sets[i], b.len > length);
		CHECK(sets[i], strstr(b.data, "$expand=is_of__device_type($select=slug),is_running__release($select=id,commit,raw_version)"));
		CHECK(sets[i], (strstr(b.data, ",last_update_status_event") != NULL) == (i >= 1));
		CHECK(sets[i], (strstr(b.data, ",custom_longitude") != NULL) == (i >= 2));
		length = b.len;
		bci_buf_fini(&b);
	}
}

/* The longest request there can be is one that the server takes. */
static void check_longest(const char *name, char key, char value)
{
	/* As many as plan.c puts into a group. */
	int64_t ids[BCI_GROUP_ID_BYTES_MAX / 20];
	char keys[BCI_TAG_KEYS_BYTES_MAX + 1], tag[BCI_DEVICE_TAG_MAX + 1];
	struct bci_buf filter, target, tagged;
	struct bci_tags tags;
	struct bci_device_query q = {
		.version = 7,
		.fields = (BCI_BIT(BCI_F__COUNT - 1) - 1) | BCI_BIT(BCI_F__COUNT - 1),
		.tags = &tags,
		.after = INT64_MAX - 1,
		.upto = INT64_MAX,
	};

	for (size_t i = 0; i < LEN(ids); i++)
		ids[i] = INT64_MAX - 1 - (int64_t)i;
	memset(keys, key, sizeof(keys) - 1);
	for (size_t i = 1; i < BCI_TAGS_MAX; i++) {
		keys[i * 18] = ',';
		keys[i * 18 - 1] = (char)('a' + i);
	}
	keys[sizeof(keys) - 1] = '\0';
	memset(tag, value, sizeof(tag) - 1);
	tag[100] = '=';
	tag[sizeof(tag) - 1] = '\0';
	CHECK_INT(name, bci_tags_parse(&tags, keys, NULL), 0);
	CHECK_INT(name, tags.n, BCI_TAGS_MAX);
	bci_buf_init(&tagged, BCI_URL_MAX);
	bci_query_device_tag(&tagged, tag);
	bci_buf_init(&filter, BCI_URL_MAX);
	bci_query_fleet_filter(&filter, ids, LEN(ids), tagged.data);
	q.filter = filter.data;
	bci_buf_init(&target, BCI_URL_MAX);
	bci_query_devices(&target, &q);
	CHECK_INT(name, filter.failed, 0);
	CHECK_INT(name, target.failed, 0);
	/* Room for the server's own path and name in front. */
	CHECK(name, target.len < BCI_URL_MAX - 1024);
	bci_tags_free(&tags);
	bci_buf_fini(&tagged);
	bci_buf_fini(&filter);
	bci_buf_fini(&target);
}

static void test_longest(void **state)
{
	(void)state;
	/* Of characters that three bytes stand for, and of one that six stand for. */
	check_longest("percent", ':', '%');
	check_longest("quotes", '\'', '\'');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fleets),
		cmocka_unit_test(test_probes),
		cmocka_unit_test(test_device_tag),
		cmocka_unit_test(test_fleet_filter),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_expansions),
		cmocka_unit_test(test_select_shrinks),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_longest),
	};

	return cmocka_run_group_tests_name("query", tests, NULL, NULL);
}
