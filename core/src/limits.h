/* SPDX-License-Identifier: MIT
 *
 * Every cap of the core that is not an option, with its reason. */
#ifndef BCI_LIMITS_H
#define BCI_LIMITS_H

/* One device with all that we select is about 1 KB; a tag value may have 1 MB by balena's model. */
#define BCI_ELEMENT_BYTES_MAX (1u << 20)
/* json-c's own default; our answers nest 6 deep. */
#define BCI_JSON_DEPTH 32
/* A body that never ends must end somewhere: 1,000,000 ids are 12 MB, 20,000 devices 18 MB. */
#define BCI_BODY_BYTES_MAX (1ull << 30)
/* Those of a real answer are 2 KB; Node's own limit for what it receives is 16 KiB. */
#define BCI_HEAD_BYTES_MAX (64u << 10)
/* What is read of an error answer: an error page of a proxy in front is some 10 KB. */
#define BCI_ERROR_BYTES_MAX (256u << 10)
/* What is kept of an error answer, for the message; real ones are empty or one short string. */
#define BCI_ERROR_BODY_MAX 120
/* Far above any known account; bounds the fleet list's memory to some 100 MB. */
#define BCI_FLEETS_MAX 100000
#define BCI_GROUP_FLEETS_MAX 200
/* Each has a parser; a server computes no more of them at a time than it has processors. */
#define BCI_CONCURRENCY_MAX 16
/* Node refuses a request above 16 KiB in all (balena-api-live.md 2); proxies have 8 KiB buffers. */
#define BCI_URL_MAX 8192
/* Ids of fleets in one group's filter: BCI_URL_MAX less path, $select and $expand. */
#define BCI_GROUP_ID_BYTES_MAX 3000
#define BCI_TOKEN_MAX 16384
/* Of one read of the token file; a network file system may be interrupted by a signal. */
#define BCI_INTERRUPTS_MAX 16
#define BCI_LABEL_VALUE_MAX 1024
#define BCI_TEXT_MAX 4096
/* A slug may have 321 characters. */
#define BCI_GLOB_MAX 511
/* Tags that an info shows: labels beside these are 9. In a URL six bytes a character at worst,
 * that of a quote. */
#define BCI_TAGS_MAX 16
#define BCI_TAG_KEYS_BYTES_MAX 300
#define BCI_DEVICE_TAG_MAX 200
/* Distinct versions and the like that are counted for one fleet, the rest is "other"; 20 to 40 are
 * named. A fleet in order has a handful. */
#define BCI_RANKING_MAX 4096
/* A longer one is counted as "other": versions seen have up to 40. */
#define BCI_RANKED_BYTES_MAX 256
/* Values that keep a name from crawl to crawl while some fleets cannot be read. */
#define BCI_NAMES_MAX (1u << 20)
/* Services of one device, and of one fleet: compositions seen have up to some 30. */
#define BCI_DEVICE_SERVICES_MAX 128
#define BCI_FLEET_SERVICES_MAX 256
/* Of the patterns that match nothing, what is said in the log. */
#define BCI_UNMATCHED_TEXT 200
/* For an estimate of series, which must only be of the right size. */
#define BCI_SERVICES_ESTIMATE 4
#define BCI_PARTITION_ESTIMATE 8
/* Each is said once in the log. */
#define BCI_UNKNOWN_WORDS_MAX 16

/* Each shard is an instance with an agent of its own; and a list of them as Consul tells it has
 * some 2 KB for each. Numbers below that many have so many digits. */
#define BCI_MEMBERS_MAX 1000
#define BCI_MEMBER_DIGITS 3
#define BCI_MEMBERS_BYTES_MAX (4u << 20)
/* The name of a host may have 253 characters, a port has 5. */
#define BCI_HOST_BYTES_MAX 253
#define BCI_MEMBER_BYTES_MAX 260
/* For a source of members that does not answer, or a quarter of the crawl: the last ones known will
 * do. */
#define BCI_MEMBERS_WAIT_MS 5000
/* DNS, Swarm and Consul name an instance once they have seen that it runs: for so long, or half of
 * the first crawl, it looks for itself there, each second. */
#define BCI_MEMBERS_JOIN_MS 20000
#define BCI_MEMBERS_AGAIN_MS 1000

#define BCI_STOP_POLL_MS 200
/* Of a body, decoded, between two looks at the clock and at who wants an end: 2 ms of work. */
#define BCI_LOOK_BYTES (128u << 10)
#define BCI_CONNECT_TIMEOUT_MS 10000
/* An answer without a byte for half of what a crawl may take is given up, so that there is time to
 * ask again. The server computes one of 20,000 devices in 1.5 s, and gives up itself after 60 s. */
#define BCI_PATIENCE_MIN_MS 10000
#define BCI_PATIENCE_MOST_MS 65000
/* Of a peer whose machine acknowledges nothing that it is sent, nor answers "are you there". */
#define BCI_PEER_TIMEOUT_MS 15000
#define BCI_PEER_PROBE_S 5
/* The wait between two looks at connections that cannot be waited for. */
#define BCI_BLIND_WAIT_MS 10
/* As much of a token at the end of a cut text is no chance. */
#define BCI_TOKEN_PART_MIN 4
/* Tries after the first, and the random waits before them: up to 0.5, then 1 s. */
#define BCI_RETRIES 2
#define BCI_RETRY_BASE_MS 500
#define BCI_RETRY_MOST_MS 5000
/* After a 429 that names no time: 1 s and up to 2, 4 ... 30 s more. */
#define BCI_HOLD_MIN_MS 1000
#define BCI_HOLD_BASE_MS 2000
#define BCI_HOLD_MOST_MS 30000
/* What a real server asked for after too many logins (balena-api-live.md 2); none may ask more. */
#define BCI_HOLD_MAX_S 3600
/* A token that is refused again and again is tried at least so often. */
#define BCI_REFUSED_MOST_MS (15 * 60 * 1000)
/* Crawls that must get a part before a trouble of all counts as over, so that one that comes and
 * goes stays one line. */
#define BCI_PARTIAL_CRAWLS 5
#define BCI_PROBE_TTL_MS (3600 * 1000)
#define BCI_PROGRESS_MS 200

#endif
