/*
 * deed NAME [ARGUMENT...]: does one thing and says how it went: "ok", or the name of the error.
 * deed wait: says "ready", reads such lines from its input and answers each with a line, one process each; ends with
 *            its input.
 */

#include "deeds.h"
#include <sys/wait.h>

static const struct deed *const tables[] = {
	capability_deeds, facility_deeds, memory_deeds, mount_deeds, other_deeds, socket_deeds, local_deeds, ring_deeds,
	file_deeds, execution_deeds, privilege_deeds, circumstance_deeds, passing_deeds,
};

const struct deed *find_deed(const char *name)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (const struct deed *deed = tables[i]; deed->name; deed++)
			if (!strcmp(deed->name, name))
				return deed;
	return NULL;
}

static int list(void)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		for (const struct deed *deed = tables[i]; deed->name; deed++)
			printf("%s %s\n", deed->name, deed->arguments);
	return 64;
}

static void perform(char **words)
{
	const struct deed *deed = find_deed(words[0]);
	int count = 0, error;

	while (words[1 + count])
		count++;
	if (!deed || count < deed->count) {
		printf("unknown\n");
		return;
	}
	error = deed->act(words + 1);
	printf("%s\n", error ? strerrorname_np(error) : "ok");
}

/* Each deed in a process of its own: what it does to itself ends with it. */
static int wait_for_words(void)
{
	char line[4096];

	printf("ready\n");
	while (fgets(line, sizeof(line), stdin)) {
		char *words[16] = {}, *rest = NULL;
		int count = 0, status;
		pid_t child;

		for (char *word = strtok_r(line, " \n", &rest); word && count < 15; word = strtok_r(NULL, " \n", &rest))
			words[count++] = word;
		if (!count)
			continue;
		child = fork();
		if (!child) {
			perform(words);
			fflush(stdout);
			_exit(0);
		}
		if (child < 0)
			printf("%s\n", strerrorname_np(errno));
		else if (waitpid(child, &status, 0) == child && !WIFEXITED(status))
			printf("killed\n");
		fflush(stdout);
	}
	return 0;
}

int main(int count, char **words)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (count < 2)
		return list();
	if (!strcmp(words[1], "wait"))
		return wait_for_words();
	perform(words + 1);
	return 0;
}
