/* SPDX-License-Identifier: MIT
 *
 * Sums over the devices of a fleet. A partition names every part, zeros included, so its parts add
 * up to the fleet. */
#include "tally.h"

#include "fleet.h"

#include <math.h>

static bool has(const struct bci_device *d, enum bci_field f)
{
	return bci_device_has(d, f);
}

void bci_tally_release(struct bci_tally *t)
{
	for (size_t i = 0; i < BCI_DIMENSION__COUNT; i++)
		bci_ranking_free(&t->by[i]);
	bci_services_free(&t->services);
}

void bci_tally_clear(struct bci_tally *t)
{
	bci_tally_release(t);
	*t = (struct bci_tally){ 0 };
}

static void add_mean(struct bci_mean *m, double value)
{
	if (isnan(value))
		return;
	if (m->n == 0 || value > m->max)
		m->max = value;
	m->sum += value;
	m->n++;
}

/* Told by the device, so known only while it is connected; or kept though it is not: what it has
 * not said at all is no finding then. */
static void add_reported(struct bci_tally *t, const struct bci_device *d)
{
	bool connected = d->connection == BCI_CONNECTED;

	t->undervolted += has(d, BCI_F_UNDERVOLTED) && d->number[BCI_F_UNDERVOLTED] != 0;
	/* A number that makes no sense is a report all the same. */
	t->without_metrics += connected &&
			      !((d->has | d->wrong) & BCI_BIT(BCI_F_MEMORY_TOTAL));
	if (has(d, BCI_F_UPDATE_STATUS))
		t->update[(size_t)d->number[BCI_F_UPDATE_STATUS]]++;
	else if (connected)
		t->update_none++;
	else
		t->update_stale++;
	if (has(d, BCI_F_CPU_TEMP))
		add_mean(&t->cpu_temp, d->number[BCI_F_CPU_TEMP]);
	if (has(d, BCI_F_CPU_USAGE))
		add_mean(&t->cpu, d->number[BCI_F_CPU_USAGE] / 100);
	add_mean(&t->memory, bci_device_ratio(d, BCI_F_MEMORY_USAGE, BCI_F_MEMORY_TOTAL));
	add_mean(&t->storage, bci_device_ratio(d, BCI_F_STORAGE_USAGE, BCI_F_STORAGE_TOTAL));
}

static void add_rollout(struct bci_tally *t, const struct bci_device *d)
{
	int on_target = bci_device_on_target(d);

	if (on_target < 0)
		t->rollout_unknown++;
	else if (on_target)
		t->on_target++;
	else if (d->connection == BCI_CONNECTED)
		t->pending++;
	else
		t->pending_offline++;
}

/* What is ranked, and the metric that tells it. */
static const struct {
	enum bci_field field;
	enum bci_metric_id id;
} dimensions[BCI_DIMENSION__COUNT] = {
	[BCI_BY_RELEASE] = { BCI_F_RELEASE_NAME, BCI_M_FLEET_BY_RELEASE },
	[BCI_BY_OS] = { BCI_F_OS_VERSION, BCI_M_FLEET_BY_OS },
	[BCI_BY_SUPERVISOR] = { BCI_F_SUPERVISOR_VERSION, BCI_M_FLEET_BY_SUPERVISOR },
	[BCI_BY_TYPE] = { BCI_F_DEVICE_TYPE, BCI_M_FLEET_BY_TYPE },
};

int bci_tally_add(struct bci_tally *t, const struct bci_device *d)
{
	int rc = BCRAWL_OK;

	t->devices++;
	t->connection[d->connection]++;
	t->status[has(d, BCI_F_STATUS) ? (size_t)d->number[BCI_F_STATUS] : 0]++;
	t->heartbeat[has(d, BCI_F_HEARTBEAT) ? (size_t)d->number[BCI_F_HEARTBEAT] : 0]++;
	t->online += has(d, BCI_F_VPN) && d->number[BCI_F_VPN] != 0;
	t->pinned += has(d, BCI_F_PINNED_RELEASE);
	t->frozen += has(d, BCI_F_FROZEN) && d->number[BCI_F_FROZEN] != 0;
	add_rollout(t, d);
	if (d->speaks)
		add_reported(t, d);
	else
		t->update_stale++;
	for (size_t i = 0; i < BCI_DIMENSION__COUNT && !rc; i++) {
		enum bci_field f = dimensions[i].field;

		rc = bci_ranking_add(&t->by[i], has(d, f) ? d->text[f] : NULL);
	}
	return rc;
}

/* One part of a partition. */
static int part(const struct bci_fleet *f, enum bci_metric_id id, const char *word, uint64_t n,
                struct bci_out *out, struct bci_record *r)
{
	bci_fleet_record(f, out, r);
	bci_record_label(r, bci_metric(id)->pub.labels, BCRAWL_ROLE_OTHER, word);
	bci_record_value(r, id, (double)n);
	return bci_record_end(r);
}

/* Parts named by a field's words, then "other". */
static int words(const struct bci_fleet *f, enum bci_metric_id id, const char *const *list,
                 const uint64_t *by_code, struct bci_out *out, struct bci_record *r)
{
	int rc = 0;

	for (size_t i = 0; list[i] && !rc; i++)
		rc = part(f, id, list[i], by_code[i + 1], out, r);
	return rc ? rc : part(f, id, "other", by_code[0], out, r);
}

static int emit_updates(const struct bci_fleet *f, struct bci_out *out, struct bci_record *r)
{
	const struct bci_tally *t = &f->tally;
	int rc = words(f, BCI_M_FLEET_BY_UPDATE, bci_update_words, t->update, out, r);

	if (!rc)
		rc = part(f, BCI_M_FLEET_BY_UPDATE, "none", t->update_none, out, r);
	return rc ? rc : part(f, BCI_M_FLEET_BY_UPDATE, "stale", t->update_stale, out, r);
}

static int emit_partitions(const struct bci_fleet *f, uint64_t fields, struct bci_out *out,
                           struct bci_record *r)
{
	const struct bci_tally *t = &f->tally;
	const struct {
		enum bci_metric_id id;
		const char *word;
		uint64_t n;
	} parts[] = {
		{ BCI_M_FLEET_BY_CONNECTION, "connected", t->connection[BCI_CONNECTED] },
		{ BCI_M_FLEET_BY_CONNECTION, "disconnected", t->connection[BCI_DISCONNECTED] },
		{ BCI_M_FLEET_BY_CONNECTION, "never", t->connection[BCI_NEVER] },
		{ BCI_M_FLEET_BY_CONNECTION, "inactive", t->connection[BCI_INACTIVE] },
		{ BCI_M_FLEET_BY_ROLLOUT, "on_target", t->on_target },
		{ BCI_M_FLEET_BY_ROLLOUT, "pending", t->pending },
		{ BCI_M_FLEET_BY_ROLLOUT, "pending_offline", t->pending_offline },
		{ BCI_M_FLEET_BY_ROLLOUT, "unknown", t->rollout_unknown },
	};
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(parts) && !rc; i++)
		rc = part(f, parts[i].id, parts[i].word, parts[i].n, out, r);
	if (!rc)
		rc = words(f, BCI_M_FLEET_BY_STATUS, bci_status_words, t->status, out, r);
	if (!rc)
		rc = words(f, BCI_M_FLEET_BY_HEARTBEAT, bci_heartbeat_words, t->heartbeat, out, r);
	if (!rc && (fields & BCI_BIT(BCI_F_UPDATE_STATUS)))
		rc = emit_updates(f, out, r);
	return rc;
}

/* Which values of which dimensions get a name: all that takes memory, and so may fail. */
static int choose_names(struct bci_fleet *f, const struct bci_naming *naming,
                        const struct bci_out *out)
{
	int rc = BCRAWL_OK;

	for (enum bci_dimension by = 0; by < BCI_DIMENSION__COUNT && !rc; by++)
		if (out->wanted[dimensions[by].id])
			rc = bci_ranking_choose(&f->tally.by[by],
			                        (uint64_t)f->id * BCI_DIMENSION__COUNT + by,
			                        by == BCI_BY_RELEASE ? f->target : NULL, naming);
	return rc;
}

static int emit_ranking(const struct bci_fleet *f, enum bci_dimension by, struct bci_out *out,
                        struct bci_record *r)
{
	const struct bci_ranking *ranking = &f->tally.by[by];
	enum bci_metric_id id = dimensions[by].id;
	int rc = BCRAWL_OK;

	for (size_t i = 0; i < ranking->n && !rc; i++)
		if (ranking->rows[i].named)
			rc = part(f, id, ranking->rows[i].value, ranking->rows[i].n, out, r);
	if (!rc)
		rc = part(f, id, "other", ranking->other, out, r);
	return rc ? rc : part(f, id, "none", ranking->none, out, r);
}

/* Two labels: the one partition of services by state. */
static int emit_services(const struct bci_fleet *f, struct bci_out *out, struct bci_record *r)
{
	const struct bci_services *s = &f->tally.services;
	int rc = BCRAWL_OK;

	if (!out->wanted[BCI_M_FLEET_SERVICES])
		return BCRAWL_OK;
	for (size_t i = 0; i < s->n * BCI_SERVICE_CODES && !rc; i++) {
		const struct bci_service_count *row = &s->rows[i / BCI_SERVICE_CODES];
		size_t code = i % BCI_SERVICE_CODES;

		bci_fleet_record(f, out, r);
		bci_record_label(r, bci_metric(BCI_M_SERVICE_STATUS)->pub.labels,
		                 BCRAWL_ROLE_OTHER, row->name);
		bci_record_label(r, "service_status", BCRAWL_ROLE_OTHER,
		                 code ? bci_service_words[code - 1] : "other");
		bci_record_value(r, BCI_M_FLEET_SERVICES, (double)row->by_code[code]);
		rc = bci_record_end(r);
	}
	return rc;
}

static void mean_values(struct bci_record *r, const struct bci_mean *m, enum bci_metric_id mean,
                        enum bci_metric_id max)
{
	if (m->n == 0)
		return;
	bci_record_value(r, mean, m->sum / (double)m->n);
	bci_record_value(r, max, m->max);
}

int bci_tally_emit(struct bci_fleet *f, uint64_t fields, const struct bci_naming *naming,
                   struct bci_out *out, struct bci_record *r)
{
	const struct bci_tally *t = &f->tally;
	int rc = choose_names(f, naming, out);

	if (rc)
		return rc;
	bci_fleet_record(f, out, r);
	bci_record_value(r, BCI_M_FLEET_DEVICES, (double)t->devices);
	bci_record_value(r, BCI_M_FLEET_PINNED, (double)t->pinned);
	bci_record_value(r, BCI_M_FLEET_UNDERVOLTED, (double)t->undervolted);
	if (fields & BCI_BIT(BCI_F_FROZEN))
		bci_record_value(r, BCI_M_FLEET_FROZEN, (double)t->frozen);
	bci_record_value(r, BCI_M_FLEET_WITHOUT_METRICS, (double)t->without_metrics);
	mean_values(r, &t->cpu_temp, BCI_M_FLEET_CPU_TEMP_MEAN, BCI_M_FLEET_CPU_TEMP_MAX);
	mean_values(r, &t->cpu, BCI_M_FLEET_CPU_MEAN, BCI_M_FLEET_CPU_MAX);
	mean_values(r, &t->memory, BCI_M_FLEET_MEMORY_MEAN, BCI_M_FLEET_MEMORY_MAX);
	mean_values(r, &t->storage, BCI_M_FLEET_STORAGE_MEAN, BCI_M_FLEET_STORAGE_MAX);
	rc = bci_record_end(r);
	if (!rc && f->id) {
		bci_fleet_record(f, out, r);
		bci_record_label(r, "fleet_name", BCRAWL_ROLE_DISPLAY_NAME,
				 f->name ? f->name : f->slug);
		bci_record_value(r, BCI_M_DEVICES_ONLINE, (double)t->online);
		rc = bci_record_end(r);
	}
	if (!rc)
		rc = emit_partitions(f, fields, out, r);
	for (enum bci_dimension by = 0; by < BCI_DIMENSION__COUNT && !rc; by++)
		rc = emit_ranking(f, by, out, r);
	return rc ? rc : emit_services(f, out, r);
}
