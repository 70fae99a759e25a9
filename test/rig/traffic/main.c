/*
 * The tests' and benches' traffic: one static program, results as one line of JSON, every run bounded in time.
 * Servers say "ready" first. See `traffic help`.
 */
#include "traffic.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct command {
	const char *name;
	int (*run)(const struct options *options);
	const char *help;
};

static const struct command commands[] = {
	{ "serve", serve, "--tcp P,P-P --tcp-once P --tcp-sink P --udp P [--address A]: echo, answer once and close, swallow, echo" },
	{ "crr", crr, "--address A --port P: connect, request, response, close; again and again (against --tcp-once)" },
	{ "rr", rr, "--address A --port P [--udp] [--size N]: request and response on one connection" },
	{ "stream", stream, "--address A --port P [--parallel N]: throughput (against --tcp-sink)" },
	{ "udp-send", udp_send, "--address A --port P [--rate N] [--size N]: numbered datagrams" },
	{ "udp-recv", udp_recv, "--port P: counts them, lost, doubled, out of order" },
	{ "connect", connect_once, "--address A --port P [--udp] [--exchange]: exit 0 ok, 1 refused, 2 timeout, 3 unreachable, 4 error" },
	{ "hold-open", hold_open, "--address A --port P [--udp] [--interval MS]: one conversation; says when it was cut" },
	{ "probe", probe, "--address A --port P [--rate N]: numbered datagrams; says when they began or ceased to be answered" },
	{ "first", first, "--address A --port P --source-port P [--count N] [--rate N] [--parallel N]: conversations of datagrams, each from the next port" },
	{ "syn", syn, "--address A --port P [--source-port P] [--count N]: SYNs, and no word after them" },
	{ "raw", raw, "[--interface I]: sends packets (frames) given as lines of hexadecimal" },
	{ "sniff", sniff, "--interface I: prints received frames as lines of hexadecimal" },
	{ "nfqueue", nfqueue, "--queue N: accepts what is queued, until killed" },
	{ "link", link_interfaces, "--interface I --peer I [--seed N]: a wire with faults; obeys standard input" },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int help(void)
{
	printf("traffic COMMAND [--count N] [--duration MS] [--timeout MS] [--bind A] [--source-port P] …\n");
	for (size_t i = 0; i < COMMANDS; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].help);
	return STATUS_USAGE;
}

static uint64_t number(const char *text, uint64_t max)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value > max)
		usage("a number is wrong");
	return value;
}

/* "80,443,8000-8010" */
static void add_ports(struct ports *ports, const char *text)
{
	while (*text) {
		char *end;
		unsigned long first = strtoul(text, &end, 10), last = first;

		if (*end == '-')
			last = strtoul(end + 1, &end, 10);
		if (first == 0 || last > 65535 || first > last || last - first >= MAX_PORTS - ports->count || (*end && *end != ','))
			usage("a list of ports is wrong");
		for (unsigned long port = first; port <= last; port++)
			ports->port[ports->count++] = (uint16_t)port;
		text = *end ? end + 1 : end;
	}
}

static void set(struct options *options, const char *name, const char *value)
{
	struct { const char *name; const char **to; } strings[] = {
		{ "--address", &options->address }, { "--bind", &options->bind }, { "--interface", &options->interface },
		{ "--peer", &options->peer },
	};
	struct { const char *name; uint64_t *to; uint64_t max; } numbers[] = {
		{ "--count", &options->count, UINT64_MAX },     { "--duration", &options->duration_ms, 86400000 },
		{ "--timeout", &options->timeout_ms, 86400000 }, { "--interval", &options->interval_ms, 86400000 },
		{ "--size", &options->size, 65536 },            { "--rate", &options->rate, 100000000 },
		{ "--parallel", &options->parallel, 64 },       { "--queue", &options->queue, 65535 },
		{ "--seed", &options->seed, UINT64_MAX / 2 },
	};
	struct { const char *name; struct ports *to; } lists[] = {
		{ "--tcp", &options->tcp_echo }, { "--tcp-once", &options->tcp_once },
		{ "--tcp-sink", &options->tcp_sink }, { "--udp", &options->udp_echo },
	};

	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		if (!strcmp(name, strings[i].name)) {
			*strings[i].to = value;
			return;
		}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (!strcmp(name, numbers[i].name)) {
			*numbers[i].to = number(value, numbers[i].max);
			return;
		}
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (!strcmp(name, lists[i].name)) {
			add_ports(lists[i].to, value);
			return;
		}
	if (!strcmp(name, "--port"))
		options->port = (uint16_t)number(value, 65535);
	else if (!strcmp(name, "--source-port"))
		options->source_port = (uint16_t)number(value, 65535);
	else
		usage("unknown option");
}

int main(int argc, char **argv)
{
	static struct options options = { .duration_ms = 1000, .timeout_ms = 1000, .interval_ms = 10, .size = 1 };
	const struct command *command = NULL;

	for (size_t i = 0; argc > 1 && i < COMMANDS; i++)
		if (!strcmp(argv[1], commands[i].name))
			command = &commands[i];
	if (!command)
		return help();
	if (command->run == serve)
		options.duration_ms = 0; /* until killed */
	for (int i = 2; i < argc; i++) {
		/* --udp is a list of ports for the server, a flag for clients. */
		if (!strcmp(argv[i], "--udp") && command->run != serve)
			options.udp = true;
		else if (!strcmp(argv[i], "--exchange"))
			options.exchange = true;
		else if (i + 1 < argc)
			set(&options, argv[i], argv[i + 1]), i++;
		else
			usage("an option wants a value");
	}
	if (!options.address && command->run != serve && command->run != udp_recv && command->run != raw &&
	    command->run != sniff && command->run != nfqueue && command->run != link_interfaces)
		usage("--address is missing");
	signal(SIGPIPE, SIG_IGN);
	return command->run(&options);
}
