/* SPDX-License-Identifier: MIT
 *
 * A token file: setup and teardown of a test or of a group of tests. */
#ifndef TOKEN_FILE_H
#define TOKEN_FILE_H

extern char token_path[64];

int make_token_file(void **state);
int remove_token_file(void **state);
void write_token(const char *token);
/* The same, for a rule's then: user is the token. */
void new_token(void *user);

#endif
