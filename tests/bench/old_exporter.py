#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""old_exporter.py URL [CA-FILE [ROUNDS]]: scrapes, default one, as a one-gauge exporter in Python makes
them: the list of fleets, then a request for each with the number of its devices online, every one on a
connection of its own, since nothing keeps a session. BALENA_TOKEN is the token.
"""
import os
import sys

import requests

LIST = "/v6/application?$filter=is_directly_accessible_by__user/any(dau:1 eq 1)"
ONLINE = "/v6/application(%d)?$expand=owns__device/$count($filter=is_online eq true)"


def get(target):
    answer = requests.get(sys.argv[1] + target, headers={"Authorization": "Bearer " + os.environ["BALENA_TOKEN"]},
                          verify=sys.argv[2] if len(sys.argv) > 2 else True, timeout=60)
    answer.raise_for_status()
    return answer.json()["d"]


for _ in range(int(sys.argv[3]) if len(sys.argv) > 3 else 1):
    for fleet in get(LIST):
        for counted in get(ONLINE % fleet["id"]):
            print('balena_devices_online{fleet_name="%s"} %d' % (counted["app_name"], counted["owns__device"]))
