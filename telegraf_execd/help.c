/* SPDX-License-Identifier: MIT
 *
 * --help, out of the tables of options; no option is described here. */
#include "help.h"

#include "args.h"
#include "balenacrawl.h"

#include <string.h>

#define WIDTH  79
#define INDENT 6

/* Prints the words of text, breaking lines; column is where the cursor is. Returns where it
 * ends. */
static int print_words(FILE *f, int column, const char *text)
{
	while (*text) {
		int n = (int)strcspn(text, " ");

		if (column > INDENT && column + 1 + n > WIDTH)
			column = fprintf(f, "\n%*s", INDENT, "") - 1;
		else if (column > INDENT)
			column += fprintf(f, " ");
		column += fprintf(f, "%.*s", n, text);
		text += n + (int)strspn(text + n, " ");
	}
	return column;
}

static void print_flags(FILE *f)
{
	const struct flag *flag;

	fprintf(f, "Commands and flags\n");
	for (size_t i = 0; (flag = args_flag_at(i)); i++) {
		char name[BCRAWL_VARIABLE_MAX];

		snprintf(name, sizeof(name), "--%s%s%s%s%c", flag->name, flag->value ? " " : "",
		         flag->value ? flag->value : "", flag->letter ? ", -" : "",
		         flag->letter ? flag->letter : '\0');
		fprintf(f, "  %s\n%*s", name, INDENT, "");
		print_words(f, INDENT, flag->help);
		fprintf(f, "\n");
	}
}

static void print_option(FILE *f, const struct bcrawl_option *o)
{
	char variable[BCRAWL_VARIABLE_MAX];
	int column;

	if (o->flags & BCRAWL_OPT_SECRET)
		fprintf(f, "  ");
	else
		fprintf(f, "  --%s VALUE, ", o->key);
	for (size_t i = 0; bcrawl_option_variable(o, i, variable); i++)
		fprintf(f, "%s%s", i ? ", " : "", variable);
	fprintf(f, "\n");
	fprintf(f, "%*s", INDENT, "");
	column = print_words(f, INDENT, o->help);
	column = print_words(f, column, "Values:");
	column = print_words(f, column, o->range);
	if (*o->dflt) {
		column = print_words(f, column, "(default:");
		column = print_words(f, column, o->dflt);
		fprintf(f, ")");
		column++;
	}
	fprintf(f, ".");
	if (o->flags & BCRAWL_OPT_MULTI)
		print_words(f, column + 1, "May be given several times.");
	fprintf(f, "\n");
}

int help_print(FILE *f)
{
	const struct bcrawl_option *o;

	fprintf(f, "Usage: telegraf-balena [OPTION]...\n\n"
	           "Crawls the balena API and writes metrics of fleets and devices to stdout.\n"
	           "Without a command it is the child of Telegraf's inputs.execd: it writes\n"
	           "line protocol at each newline on stdin or at SIGHUP, SIGUSR1 or SIGUSR2, by\n"
	           "its own timer if none comes, and ends with stdin.\n\n");
	print_flags(f);
	fprintf(f, "\nOptions; the command line wins over the environment\n");
	for (size_t i = 0; (o = bcrawl_option_at(i)); i++)
		print_option(f, o);
	fprintf(f, "\nWithout a token, $CREDENTIALS_DIRECTORY/telegraf.%s is used if it is\n"
	           "there.\n\n"
	           "Exit status: 0 success, 1 the crawl or the check failed, 2 wrong usage or\n"
	           "configuration.\n\n"
	           "Examples\n"
	           "  telegraf-balena --%s /etc/balenacrawl/token --check\n"
	           "  telegraf-balena --%s /etc/balenacrawl/token --once --format table\n",
	        "balena" "_token", BCRAWL_KEY_TOKEN_FILE, BCRAWL_KEY_TOKEN_FILE);
	return ferror(f) ? -1 : 0;
}
