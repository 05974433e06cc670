# Usage: perl quiet-listeners.pl POD-CIDR INTERFACE[:PID]-OR-PID…
#
# The process of a tunnel hears of every change of every interface, address and route of its host, and wakes for each only to
# find that it is about another one: with a hundred tunnels a new container costs a tenth of a second of CPU. This puts a filter
# before its two sockets of that kind, so that it hears what it goes by: its own interface, and routes of the main table that may
# lead to its peers, which are no part of the pod's networks. The socket for routes is made anew whenever the interface goes up
# or gets a port; the other one stays.
# A resolver hears of routes and addresses as well, and goes by none of them: it is known by its pid. A tunnel's process without one
# is looked for among all processes.
# Perl, because every Debian has it and it can make the calls: fds of another process, and a packet filter. Without its larger
# modules, which take longer than all else here.
use strict;
use warnings;

use constant { PIDFD_OPEN => 434, PIDFD_GETFD => 438 };    # on all architectures
use constant { PF_INET => 2, SOCK_DGRAM => 2, SOL_SOCKET => 1, SO_ATTACH_FILTER => 26, INTERFACE_INDEX => 0x8933 };
use constant { RTM_NEWLINK => 16, MAIN_TABLE => 254, RTA_DST => 1 };
use constant { LINK_GROUP => 0x1, ROUTE_GROUP => 0x40 };

my ($cidr, @names) = @ARGV;
my ($pod, $mask) = range_of($cidr);

# Classic BPF. Loads are in network order; what netlink writes is in the machine's.
my ($load_32, $load_16, $load_8, $load_at_x, $equal, $and, $return) = (0x20, 0x28, 0x30, 0x40, 0x15, 0x54, 0x06);
my ($set, $set_x, $copy_to_x, $attribute) = (0x00, 0x01, 0x07, 0xfffff00c);
sub step { return pack "S C C L", @_ }
my ($drop, $take) = (step($return, 0, 0, 0), step($return, 0, 0, 0xffffffff));
sub range_of {
    my ($address, $bits) = split m{/}, shift;
    return (unpack("N", pack "C4", split /\./, $address), $bits ? (0xffffffff << (32 - $bits)) & 0xffffffff : 0);
}
sub seen_16 { return unpack "n", pack "S", shift }
sub seen_32 { return unpack "N", pack "L", shift }

# Message type at byte 4, sender at 12; then of a link its index at 20, of a route its table at 20.
sub own_link {
    my ($index) = @_;
    return step($load_16, 0, 0, 4) . step($equal, 0, 2, seen_16(RTM_NEWLINK)) . step($load_32, 0, 0, 20)
        . step($equal, 1, 0, seen_32($index)) . $drop . $take;
}

# What it asked for itself comes back with its own port as the sender. Attributes begin at 28; a default route has no goal.
sub main_routes {
    my ($port) = @_;
    return step($load_32, 0, 0, 12) . step($equal, 11, 0, seen_32($port))
        . step($load_8, 0, 0, 20) . step($equal, 0, 8, MAIN_TABLE)
        . step($set, 0, 0, 28) . step($set_x, 0, 0, RTA_DST) . step($load_32, 0, 0, $attribute) . step($equal, 5, 0, 0)
        . step($copy_to_x, 0, 0, 0) . step($load_at_x, 0, 0, 4) . step($and, 0, 0, $mask)
        . step($equal, 0, 1, $pod & $mask) . $drop . $take;
}

sub own_answers {
    my ($port) = @_;
    return step($load_32, 0, 0, 12) . step($equal, 1, 0, seen_32($port)) . $drop . $take;
}

# Inode → port and groups of the sockets that hear of changes, of all processes of this network namespace.
my %heard;
open my $table, "<", "/proc/self/net/netlink" or die "/proc/self/net/netlink: $!\n";
while (<$table>) {
    my ($protocol, $port, $groups, $inode) = (split)[1, 2, 3, 9];
    $heard{$inode} = [$port, hex $groups] if $protocol eq "0";
}

my %of_name;    # interface → its process, undef: to be looked for
my @resolvers;
for (@names) {
    if (/^\d+$/) { push @resolvers, $_ }
    else { my ($name, $pid) = split /:/; $of_name{$name} = $pid }
}
for my $pid ((grep { defined } values %of_name), grep({ !defined } values %of_name) ? every_pid() : ()) {
    my $name = tunnel_of($pid);
    next unless defined $name && exists $of_name{$name} && ($of_name{$name} // $pid) == $pid;
    my $index = index_of($name);
    quiet($pid, $index) if defined $index;
}
quiet($_, undef) for grep { is_resolver($_) } @resolvers;

sub every_pid { return map { substr $_, length "/proc/" } glob "/proc/[0-9]*" }

sub tunnel_of {
    open my $file, "<", "/proc/$_[0]/cmdline" or return;
    my ($program, $foreground, $name) = split /\0/, <$file> // "";
    return ($program // "") =~ m{(^|/)wireguard-go$} && ($foreground // "") eq "-f" ? $name : undef;
}

sub index_of {
    socket my $any, PF_INET, SOCK_DGRAM, 0 or die "socket: $!\n";
    my $request = pack "a16 x24", $_[0];
    return ioctl($any, INTERFACE_INDEX, $request) ? unpack "x16 i", $request : undef;    # without: it went
}

sub is_resolver {
    open my $file, "<", "/proc/$_[0]/cmdline" or return 0;
    return (<$file> // "") =~ m{^[^\0]*/dnsmasq\0};
}

# Without an index it is a resolver.
sub quiet {
    my ($pid, $index) = @_;
    my $process = syscall PIDFD_OPEN, $pid + 0, 0;
    return if $process < 0;                                # it has ended
    open my $held, "<&=", $process or die "fd $process: $!\n";    # closed with its scope
    for my $link (glob "/proc/$pid/fd/*") {
        my ($inode) = (readlink($link) // "") =~ /^socket:\[(\d+)\]$/ or next;
        my ($port, $groups) = @{ $heard{$inode} // next };
        my ($number) = $link =~ /(\d+)$/;
        my $filter
            = !defined $index ? own_answers($port)
            : $groups & LINK_GROUP ? own_link($index)
            : $groups & ROUTE_GROUP ? main_routes($port)
            : next;
        my $copy = syscall PIDFD_GETFD, $process, $number + 0, 0;
        next if $copy < 0 && ($!{EBADF} || $!{ESRCH});         # the socket, or the process, has just gone
        die "pidfd_getfd: $!\n" if $copy < 0;
        open my $socket, "+<&=", $copy or die "fd $copy: $!\n";
        my $code = pack "S x![P] P", length($filter) / 8, $filter;
        setsockopt $socket, SOL_SOCKET, SO_ATTACH_FILTER, $code or die "SO_ATTACH_FILTER: $!\n";
    }
}
