/* SPDX-License-Identifier: MIT
 *
 * Prints the fleets that a token sees as a table.
 *
 *   cc fleets.c $(pkg-config --cflags --libs balenacrawl) -o fleets
 *   ./fleets /etc/balenacrawl/token [https://api.my-openbalena.example] */
#include <balenacrawl.h>

#include <stdio.h>
#include <string.h>

static const char *fleet_of(const struct bcrawl_sample *s)
{
	for (size_t i = 0; i < s->label_count; i++)
		if (s->labels[i].role == BCRAWL_ROLE_FLEET)
			return s->labels[i].value;
	return "";
}

/* A fleet gives several records; each has the fleet's label, and two have what is shown here. */
static int print_fleet(void *user, const struct bcrawl_sample *s)
{
	double *devices = user;
	int n = 0;

	for (size_t i = 0; i < s->value_count && n >= 0; i++) {
		if (strcmp(s->values[i].metric->name, "balena_fleet_devices") == 0)
			*devices = s->values[i].value;
		if (strcmp(s->values[i].metric->name, "balena_devices_online") == 0)
			n = printf("%-40s %8.0f %8.0f\n", fleet_of(s), *devices, s->values[i].value);
	}
	return n < 0;
}

int main(int argc, char **argv)
{
	const struct bcrawl_sink sink = { .size = sizeof(sink), .sample = print_fleet };
	struct bcrawl_error err = { .size = sizeof(err), .message = "usage: fleets TOKENFILE [URL]" };
	struct bcrawl_config *cfg = bcrawl_config_new();
	struct bcrawl *crawler = NULL;
	double devices = 0;
	int rc = BCRAWL_E_CONFIG;

	if (argc > 1 && cfg && !bcrawl_global_init() &&
	    !bcrawl_config_set(cfg, "token-file", argv[1], &err) &&
	    !(argc > 2 && bcrawl_config_set(cfg, "api-url", argv[2], &err)) &&
	    !bcrawl_config_set(cfg, "detail", "fleets", &err) &&
	    !bcrawl_new(&crawler, cfg, &err)) {
		printf("%-40s %8s %8s\n", "FLEET", "DEVICES", "ONLINE");
		rc = bcrawl_run(crawler, &sink, &devices, &err);
	}
	if (rc)
		fprintf(stderr, "fleets: %s\n", err.message);
	bcrawl_free(crawler);
	bcrawl_config_free(cfg);
	return rc != BCRAWL_OK;
}
