"""Matcher families: what is compared between real and synthetic images, and the exact gradient of it."""

from limbeck.matching.base import Batches, Chunks, Engine, Matcher, MatcherContext, StepContext, Trajectories
from limbeck.matching.feature import FeatureMatcher
from limbeck.matching.gradient import GradientMatcher
from limbeck.matching.source import NetworkSource, SourceContext
from limbeck.matching.teacher import Teacher, TeacherMatcher
from limbeck.matching.trajectory import Segment, TrajectoryMatcher

__all__ = [
    "Batches",
    "Chunks",
    "Engine",
    "FeatureMatcher",
    "GradientMatcher",
    "Matcher",
    "MatcherContext",
    "NetworkSource",
    "Segment",
    "SourceContext",
    "StepContext",
    "Teacher",
    "TeacherMatcher",
    "Trajectories",
    "TrajectoryMatcher",
]
