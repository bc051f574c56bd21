/* SPDX-License-Identifier: MIT
 *
 * The main of a fuzz target that is built without libFuzzer: runs it on each file that is named,
 * and on each file of each directory. */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static size_t inputs;

static void run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data;
	struct stat st;
	size_t n;

	if (!f || fstat(fileno(f), &st)) {
		perror(path);
		exit(2);
	}
	/* Memory of the very size: see fuzz_copy(). */
	n = (size_t)st.st_size;
	data = malloc(n ? n : 1);
	if (!data || fread(data, 1, n, f) != n) {
		perror(path);
		exit(2);
	}
	fclose(f);
	/* Seen only if the target fails. */
	fprintf(stderr, "%s\n", path);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	inputs++;
}

static void run_directory(const char *path)
{
	struct dirent **names;
	int n = scandir(path, &names, NULL, alphasort);

	if (n < 0) {
		perror(path);
		exit(2);
	}
	for (int i = 0; i < n; i++) {
		char file[4096];

		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			run_file(file);
		free(names[i]);
	}
	free(names);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		/* A target may work in another directory. */
		char *path = realpath(argv[i], NULL);
		struct stat st;

		if (!path || stat(path, &st)) {
			perror(argv[i]);
			return 2;
		}
		if (S_ISDIR(st.st_mode))
			run_directory(path);
		else
			run_file(path);
		free(path);
	}
	printf("%zu inputs\n", inputs);
	/* An empty corpus has shown nothing. */
	return inputs ? 0 : 1;
}
