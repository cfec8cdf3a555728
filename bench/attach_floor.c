/* The floor under an attach: the messages that LinuxKernel sends, from C, in as many sends.
   attach_floor BRIDGE-INDEX NUMBER PATH...   one attach for each namespace; prints nanoseconds, one a line.
   With pINDEX the link is a macvlan of that parent, else a pair with one end on the bridge. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char buffer[4096], answers[8192];
static unsigned size, sequence, asked;

static void die(const char *what) { perror(what); exit(1); }

static void add(const void *value, unsigned length) {
    memcpy(buffer + size, value, length);
    size += length;
    while (size & 3) buffer[size++] = 0;
}

static unsigned begin(int type) {
    unsigned at = size;
    struct nlattr a = {4, type};
    add(&a, 4);
    return at;
}

static void end(unsigned at) { ((struct nlattr *)(buffer + at))->nla_len = size - at; }

static void attr(int type, const void *value, unsigned length) {
    struct nlattr a = {4 + length, type};
    add(&a, 4);
    add(value, length);
}

static void attr32(int type, unsigned value) { attr(type, &value, 4); }

static unsigned message(int type, int flags, const void *head, unsigned length) {
    unsigned at = size;
    struct nlmsghdr h = {0, type, NLM_F_REQUEST | NLM_F_ACK | flags, ++sequence, 0};
    add(&h, sizeof h);
    add(head, length);
    asked++;
    return at;
}

static void done(unsigned at) { ((struct nlmsghdr *)(buffer + at))->nlmsg_len = size - at; }

static int route_socket(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), one = 1;
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof one);
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one);
    return fd;
}

static void ask(int fd) {
    if (send(fd, buffer, size, 0) < 0) die("send");
    while (asked) {
        int n = recv(fd, answers, sizeof answers, 0);
        if (n < 0) die("recv");
        for (struct nlmsghdr *h = (void *)answers; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n), asked--) {
            struct nlmsgerr *e = NLMSG_DATA(h);
            if (h->nlmsg_type != NLMSG_ERROR || e->error) {
                fprintf(stderr, "message %u: %s\n", h->nlmsg_seq, strerror(-e->error));
                exit(1);
            }
        }
    }
    size = 0;
}

static void pair(int home, int bridge, int number, int index, int peer, int namespace) {
    struct ifinfomsg up = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    struct ifinfomsg inside = {.ifi_index = peer}, same = {.ifi_index = index};
    char name[16];
    unsigned char mac[6] = {2, 0, 0, 1, number >> 8, number};
    unsigned m = message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &up, sizeof up), info, data, other, family;
    snprintf(name, sizeof name, "floor%d", number);
    attr(IFLA_IFNAME, name, strlen(name) + 1);
    attr32(IFLA_MTU, 1500);
    attr32(IFLA_GROUP, 77);
    attr32(IFLA_MASTER, bridge);
    attr32(IFLA_NUM_TX_QUEUES, 1);
    attr32(IFLA_NUM_RX_QUEUES, 1);
    info = begin(IFLA_LINKINFO);
    attr(IFLA_INFO_KIND, "veth", 5);
    data = begin(IFLA_INFO_DATA);
    other = begin(VETH_INFO_PEER);
    add(&inside, sizeof inside);
    attr(IFLA_IFNAME, "eth0", 5);
    attr32(IFLA_MTU, 1500);
    attr(IFLA_ADDRESS, mac, 6);
    attr32(IFLA_NUM_TX_QUEUES, 1);
    attr32(IFLA_NUM_RX_QUEUES, 1);
    attr32(IFLA_NET_NS_FD, namespace);
    end(other), end(data), end(info), done(m);
    m = message(RTM_SETLINK, 0, &same, sizeof same);
    info = begin(IFLA_AF_SPEC);
    family = begin(AF_INET6);
    attr(IFLA_INET6_ADDR_GEN_MODE, "\1", 1);
    end(family), end(info), done(m);
    ask(home);
}

static void single(int home, int parent, int number, int index, int namespace) {
    struct ifinfomsg head = {.ifi_index = index};
    unsigned char mac[6] = {2, 0, 0, 2, number >> 8, number};
    unsigned m = message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head), info, data;
    attr(IFLA_IFNAME, "eth0", 5);
    attr(IFLA_ADDRESS, mac, 6);
    attr32(IFLA_LINK, parent);
    attr32(IFLA_GROUP, 77);
    attr32(IFLA_NET_NS_FD, namespace);
    info = begin(IFLA_LINKINFO);
    attr(IFLA_INFO_KIND, "macvlan", 8);
    data = begin(IFLA_INFO_DATA);
    attr32(IFLA_MACVLAN_MODE, MACVLAN_MODE_BRIDGE);
    end(data), end(info), done(m);
    ask(home);
}

static void address(int family, const char *text, int prefix, int number, int index) {
    struct ifaddrmsg head = {family, prefix, family == AF_INET6 ? IFA_F_NODAD : 0, 0, index};
    unsigned char own[16];
    unsigned length = family == AF_INET ? 4 : 16;
    unsigned m = message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
    inet_pton(family, text, own);
    own[length - 2] = number >> 8, own[length - 1] = number;
    attr(IFA_LOCAL, own, length);
    attr(IFA_ADDRESS, own, length);
    done(m);
}

static void route(int family, const char *text, int index) {
    struct rtmsg head = {
        .rtm_family = family, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT, .rtm_type = RTN_UNICAST};
    unsigned char via[16];
    unsigned m = message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &head, sizeof head);
    inet_pton(family, text, via);
    attr(RTA_GATEWAY, via, family == AF_INET ? 4 : 16);
    attr32(RTA_OIF, index);
    done(m);
}

static void inside(int fd, int number, int index) {
    struct ifinfomsg up = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    address(AF_INET, "10.7.0.0", 16, number, index);
    address(AF_INET6, "fd07::", 64, number, index);
    done(message(RTM_SETLINK, 0, &up, sizeof up));
    route(AF_INET, "10.7.0.1", index);
    route(AF_INET6, "fd07::1", index);
    ask(fd);
}

int main(int count, char **words) {
    int home_ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), home = route_socket();
    int macvlan = words[1][0] == 'p', below = atoi(words[1] + macvlan), number = atoi(words[2]);
    static int namespaces[4096], sockets[4096];
    for (int i = 3; i < count; i++) {
        namespaces[i] = open(words[i], O_RDONLY | O_CLOEXEC);
        if (setns(namespaces[i], CLONE_NEWNET)) die(words[i]);
        sockets[i] = route_socket();
    }
    if (setns(home_ns, CLONE_NEWNET)) die("home");
    for (int i = 3; i < count; i++, number++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        if (macvlan)
            single(home, below, number, 910000000 + number, namespaces[i]);
        else
            pair(home, below, number, 900000000 + number, 910000000 + number, namespaces[i]);
        inside(sockets[i], number, 910000000 + number);
        clock_gettime(CLOCK_MONOTONIC, &b);
        printf("%lld\n", (b.tv_sec - a.tv_sec) * 1000000000ll + b.tv_nsec - a.tv_nsec);
    }
    return 0;
}
