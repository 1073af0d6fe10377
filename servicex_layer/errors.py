"""Every exception and warning that a user of servicex_layer can meet, each under one base class.

Each carries one message that says what was wrong, with what, and what to do.
Exceptions cross process borders on a cluster, so none has any other state.
"""


class ServiceXLayerError(Exception):
    """Base class of all exceptions of this package."""


class InvalidArgumentError(ServiceXLayerError, ValueError):
    """An argument has a value that no request could make sense of."""


class MissingExtraError(ServiceXLayerError, ImportError):
    """A feature was used whose optional dependencies are not installed."""


# The user's configuration


class ConfigError(ServiceXLayerError):
    """``servicex.yaml`` or a setting is missing, broken or of the wrong kind."""


class UnknownBackendError(ConfigError):
    """The backend asked for is not in ``servicex.yaml``."""


# The backend


class BackendError(ServiceXLayerError):
    """The ServiceX backend did not do what was asked of it."""


class BackendUnreachableError(BackendError):
    """No connection to the backend, or no answer, for longer than can be waited out."""


class AuthorizationError(BackendError):
    """The backend rejected the token, or does not allow what was asked."""


class ProtocolError(BackendError):
    """The backend answered something that a ServiceX server does not answer."""


class UnknownRequestError(BackendError):
    """The backend does not know the request: mistyped, deleted, or of another backend."""


# The request


class RequestError(ServiceXLayerError):
    """The request has ended, or goes on, in a way that gives no result."""


class TransformFatalError(RequestError):
    """The request ended as ``Fatal``."""


class TransformCanceledError(RequestError):
    """The request was canceled."""


class BadDatasetError(RequestError):
    """The request's dataset could not be looked up."""


class FailedFilesError(RequestError):
    """Files of the request failed: any with ``on_failed="raise"``, or more than ``max_failed``."""


class WaitTimeoutError(RequestError):
    """The next file did not come within the ``timeout`` setting."""


class PartitionCountError(RequestError):
    """The request has more files than the array has partitions: some would be lost."""


class CompletionOrderError(RequestError):
    """A file came after its place in the order of completion had been given out.

    Only where several processes share no feed; the result would not be exact.
    """


# The result files


class ResultError(ServiceXLayerError):
    """A result file cannot be read as what it should be."""


class CorruptResultError(ResultError):
    """The bytes of a result are not those of the file that the server announced."""


class MissingObjectError(ResultError):
    """The object store does not have a result that the server reported."""


class TreeNotFoundError(ResultError):
    """The tree asked for is not in the result file."""


class NoTreeError(TreeNotFoundError):
    """The result file has no tree with an event in it."""


class AmbiguousTreeError(ResultError):
    """The result file has several trees and none was chosen."""


class SchemaMismatchError(ResultError):
    """A result file does not match the form that was given for it."""


class FormError(ServiceXLayerError):
    """No form can be made of what was given as ``form``."""


# Warnings


class ServiceXLayerWarning(UserWarning):
    """Base class of all warnings of this package."""


class FailedFilesWarning(ServiceXLayerWarning):
    """Files of the request failed: as many partitions at the end of its array are empty."""


class RepeatedInputsWarning(ServiceXLayerWarning):
    """The request's dataset lists files more than once; each file is read once."""


class InsecureClusterWarning(ServiceXLayerWarning):
    """A token goes to a Dask cluster over a connection that others can read."""
