/* SPDX-License-Identifier: MIT
 *
 * bare_parse INDEX DATA: inflates every recorded body and has json-c make an object of each element
 * of its array, one at a time. The limit of a parser that is built on zlib and json-c: nothing looks
 * for the ends of the elements but json-c itself, and nothing is done with an object. */
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define PIECE (64 << 10)

static size_t elements;

static void die(const char *what)
{
	fprintf(stderr, "bare_parse: %s\n", what);
	exit(1);
}

/* Takes the next bytes of {"d":[{...},{...}]}; *inside says whether they begin within an element. */
static void parse(struct json_tokener *tok, const char *text, size_t len, int *inside)
{
	size_t i = 0;

	while (i < len) {
		struct json_object *o;

		if (!*inside) {
			const char *open = memchr(text + i, '{', len - i);

			if (!open)
				return;
			i = (size_t)(open - text);
			*inside = 1;
		}
		o = json_tokener_parse_ex(tok, text + i, (int)(len - i));
		if (!o && json_tokener_get_error(tok) == json_tokener_continue)
			return;
		if (!o)
			die("no JSON");
		i += json_tokener_get_parse_end(tok);
		json_object_put(o);
		elements++;
		*inside = 0;
	}
}

static void parse_body(struct json_tokener *tok, z_stream *z, unsigned char *in, size_t len)
{
	static char out[PIECE];
	/* The first brace is the envelope's. */
	size_t skip = 1;
	int inside = 0, rc = Z_OK;

	json_tokener_reset(tok);
	/* Small ones are not compressed. */
	if (len < 2 || in[0] != 0x1f || in[1] != 0x8b) {
		if (len > 0)
			parse(tok, (char *)in + 1, len - 1, &inside);
		return;
	}
	if (inflateReset(z))
		die("zlib");
	z->next_in = in;
	z->avail_in = (unsigned)len;
	while (rc == Z_OK) {
		size_t n;

		z->next_out = (unsigned char *)out;
		z->avail_out = PIECE;
		rc = inflate(z, Z_NO_FLUSH);
		n = PIECE - z->avail_out;
		if (n > skip)
			parse(tok, out + skip, n - skip, &inside);
		skip = 0;
	}
	if (rc != Z_STREAM_END)
		die("no gzip");
}

int main(int argc, char **argv)
{
	struct json_tokener *tok = json_tokener_new();
	z_stream z = { 0 };
	struct stat st;
	size_t offset, length;
	unsigned char *data;
	FILE *index;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: bare_parse INDEX DATA\n");
		return 2;
	}
	index = fopen(argv[1], "r");
	fd = open(argv[2], O_RDONLY);
	if (!index || fd < 0 || fstat(fd, &st))
		die("cannot open");
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED || !tok || inflateInit2(&z, 15 + 16))
		die("no memory");
	/* What follows an element is the next one. */
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	/* KIND STATUS OFFSET LENGTH BODY-OFFSET BODY-LENGTH TARGET */
	while (fscanf(index, "%*s %*s %*s %*s %zu %zu %*[^\n]", &offset, &length) == 2)
		parse_body(tok, &z, data + offset, length);
	inflateEnd(&z);
	json_tokener_free(tok);
	fclose(index);
	fprintf(stderr, "%zu elements\n", elements);
	return 0;
}
