"""Names of addresses, addresses of names, netgroups and groups of users, asked for aside.

The system's resolver may take a minute to say that it has no answer, so only threads
of this module wait for it, a bounded number of them.  Other threads get
what is known.  An answer is asked for again when it is older than `LIFETIME`, and
holds until there is another: one that cannot be had now changes nothing.

Rule: everything is asked for by `Resolver.known`, which never waits.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from nfsd.base.log import LOGGER, ONCE
from nfsd.net.address import address_of

Texts: TypeAlias = frozenset[str]

LIFETIME: Final = 60.0  # seconds, after which an answer is asked for again
_RETRY: Final = 10.0  # seconds after which one is that could not be had
_OVERDUE: Final = 30.0  # seconds for which one holds besides, while it is asked for
_SILENT: Final = 3.0  # seconds after which nobody is taken to answer, and the last one holds
_LOOK: Final = 0.2  # seconds between two looks of a waiting thread
_KNOWN: Final = 10_000  # answers
_WAITING_MAX: Final = 1_000  # questions; further ones are asked when somebody asks again
# Threads for what the configuration names, and for what addresses of strangers ask.
_HOST_THREADS: Final = 2
_CLIENT_THREADS: Final = 4
# h_errno of netdb.h: the name server does not answer, or only that it cannot say.
_TEMPORARY: Final = (socket.EAI_AGAIN, socket.EAI_SYSTEM, socket.EAI_MEMORY)
_TRY_AGAIN: Final = 2
_NO_RECOVERY: Final = 3

# It keeps its place in the database for the whole process (netgroup(5)).
_netgroup: Final = threading.Lock()
_libc: Final = ctypes.CDLL(None)


class Host(NamedTuple):
    """The question which addresses a host has."""

    name: str


class Names(NamedTuple):
    """The question which names an address has that lead back to it."""

    address: str


class Member(NamedTuple):
    """The question whether an address, or a name of it, is in a netgroup; no text means no."""

    group: str
    address: str


class Groups(NamedTuple):
    """The question in which groups a user is, as numbers; none if there is no such user."""

    uid: int


Question: TypeAlias = Host | Names | Member | Groups


class _SilentError(OSError):
    """There is no answer at present."""


class Answer(NamedTuple):
    """What was said last, None if nothing yet; and when it is to be asked for again."""

    texts: Texts | None
    due: float


class _Lane:
    """Threads that ask, one question each at a time, in the order in which they came."""

    def __init__(self, threads: int, ask: Callable[[Question], None]) -> None:
        self._threads = threads
        self._ask = ask
        self._started = 0
        self._questions: deque[Question] = deque()
        self._there_is = threading.Semaphore(0)

    def put(self, question: Question) -> bool:
        """Have a question asked; returns whether there was room for it."""
        if len(self._questions) >= _WAITING_MAX:
            return False
        self._questions.append(question)
        self._there_is.release()
        if self._started < self._threads:
            self._started += 1
            # Nobody waits for it at the end: it may be told nothing for a minute.
            threading.Thread(target=self._run, name="resolver", daemon=True).start()
        return True

    def _run(self) -> None:
        while True:
            self._there_is.acquire()
            self._ask(self._questions.popleft())


class Resolver:
    """The answers of the system's resolver, for all threads of this process."""

    def __init__(self) -> None:
        self._answers: dict[Question, Answer] = {}
        self._asked: dict[Question, float] = {}  # under way, and since when
        self.told = 0  # answers so far
        self.changed = 0  # those that were another than before
        self._told = threading.Condition()  # protects all of this
        self._hosts = _Lane(_HOST_THREADS, self._ask)
        self._clients = _Lane(_CLIENT_THREADS, self._ask)

    def known(self, question: Question) -> Texts | None:
        """Return the last answer; None if there was none yet.  Never waits for another.

        One that nobody has asked for again for long holds only if nobody answers now.
        """
        found, now = self._answers.get(question), time.monotonic()
        if found is not None and now < found.due:
            return found.texts
        with self._told:
            if question not in self._asked:
                lane = self._hosts if isinstance(question, Host) else self._clients
                if lane.put(question):
                    self._asked[question] = now
            since = self._asked.get(question, now)
        holds = found is not None and (now < found.due + _OVERDUE or now > since + _SILENT)
        return found.texts if found is not None and holds else None

    def wait(self, is_known: Callable[[], bool], seconds: float) -> bool:
        """Wait until what is told makes `is_known` true; return whether it did."""
        deadline = time.monotonic() + seconds
        with self._told:
            while not is_known():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._told.wait(min(left, _LOOK))
        return True

    def _ask(self, question: Question) -> None:
        """Ask, and tell; on a thread of our own."""
        texts = None
        try:
            texts = _answer(question)
        except _SilentError:
            pass
        except Exception as problem:  # whatever a library says of a name ends no thread
            if ONCE.first("resolver", type(problem).__name__):
                LOGGER.error("cannot resolve %s: %s", question, problem)
        with self._told:
            now, before = time.monotonic(), self._answers.pop(question, None)
            last = None if before is None else before.texts
            if texts is not None:
                self.changed += last is not None and texts != last
                self._answers[question] = Answer(texts, now + LIFETIME)
            else:
                self._answers[question] = Answer(last, now + _RETRY)
            if len(self._answers) > _KNOWN:
                del self._answers[next(iter(self._answers))]
            del self._asked[question]
            self.told += 1
            self._told.notify_all()


def _answer(question: Question) -> Texts:
    """Ask the system; raises _SilentError if it has no answer now."""
    if isinstance(question, Host):
        return _addresses(question.name)
    if isinstance(question, Groups):
        return _groups(question.uid)
    if isinstance(question, Names):
        return _names(question.address)
    if _is_member(question.group, question.address):
        return frozenset({question.address})
    names = _names(question.address)
    return frozenset(name for name in names if _is_member(question.group, name))


def _groups(uid: int) -> Texts:
    try:
        user = pwd.getpwuid(uid)
    except (KeyError, OverflowError):
        return frozenset()
    return frozenset(map(str, os.getgrouplist(user.pw_name, user.pw_gid)))


def _addresses(name: str) -> Texts:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as problem:
        if problem.errno in _TEMPORARY:
            raise _SilentError from problem
        return frozenset()
    return frozenset(str(address_of(str(each[4][0]))) for each in found)


def _names(address: str) -> Texts:
    """Return the names of an address, in small letters, that have the address.

    The owner of an address may give it any name.
    """
    try:
        name, aliases, _ = socket.gethostbyaddr(address)
    except (socket.herror, socket.gaierror) as problem:
        if isinstance(problem, socket.gaierror) or problem.errno in (_TRY_AGAIN, _NO_RECOVERY):
            raise _SilentError from problem
        return frozenset()
    found = {each.lower().rstrip(".") for each in (name, *aliases)}
    return frozenset(each for each in found if _leads_to(each, address))


def _leads_to(name: str, address: str) -> bool:
    try:
        return address in _addresses(name)
    except UnicodeError:  # a name that nobody can ask for
        return False


def _is_member(group: str, host: str) -> bool:
    """Return whether the system's netgroup database has a host in a group (innetgr(3))."""
    with _netgroup:
        ctypes.set_errno(0)
        found = bool(_libc.innetgr(os.fsencode(group), os.fsencode(host), None, None))
    if not found and ctypes.get_errno() == errno.EAGAIN:
        raise _SilentError
    return found
