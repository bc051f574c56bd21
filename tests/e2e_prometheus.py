#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Debian's Prometheus scrapes a real collectd and a real Telegraf; what it then says of the fleets and
devices is what the fake API holds."""

import e2e_lib as lib


class PrometheusTest(lib.AgentTest):
    @classmethod
    def setUpClass(cls):
        lib.require("prometheus")

    def check(self, api, agent, prefix, fleet_label):
        prometheus = lib.Prometheus({"agent": agent.url})
        self.addCleanup(prometheus.close)
        alive = [api, agent, prometheus]
        rows, truth = api.devices(), api.truth()

        def ask(expression):
            return prometheus.query(expression.replace("balena_", prefix + "balena_"))
        lib.wait_for("successful scrape", lambda: 1 in ask('up{job="agent"}').values(), alive)
        lib.wait_for("devices in Prometheus", lambda: len(ask("balena_device_status_code")) == len(rows), alive)

        def by_fleet(expression):
            label = fleet_label
            return {dict(labels)[label].replace(":", "/"): value for labels, value in ask(
                "sum by (%s) (%s)" % (label, expression)).items()}
        fleets = {fleet["slug"]: fleet for fleet in truth["fleets"]}
        everywhere = {**fleets, "none": truth["none"]}
        self.assertEqual(by_fleet("balena_fleet_devices"),
                         {slug: fleet["devices"] for slug, fleet in everywhere.items()})
        self.assertEqual(by_fleet("balena_fleet_devices_by_status"),
                         {slug: fleet["devices"] for slug, fleet in everywhere.items()})
        self.assertEqual(by_fleet("balena_devices_online"),
                         {slug: fleet["online"] for slug, fleet in fleets.items()})
        up = list(ask("balena_device_up").values())
        for value, state in ((1, "connected"), (0, "disconnected")):
            self.assertEqual(up.count(value),
                             sum(fleet["by_connection"][state] for fleet in everywhere.values()))
        self.assertEqual(list(ask("balena_crawl_success").values()), [1])
        self.assertEqual(list(ask('scrape_samples_scraped{job="agent"} > bool 0').values()), [1])

    def test_scrape_of_collectd(self):
        lib.require("collectd")
        api = self.api()
        agent = lib.Collectd(lib.Collectd.account(api))
        self.addCleanup(agent.close)
        self.check(api, agent, "collectd_", "balena")

    def test_scrape_of_telegraf(self):
        lib.require("telegraf")
        api = self.api()
        agent = lib.Telegraf(api)
        self.addCleanup(agent.close)
        self.check(api, agent, "", "fleet")


if __name__ == "__main__":
    lib.main("prometheus")
